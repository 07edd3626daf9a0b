"""From detections to events: agreement is required, and what belongs together is told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bifurk_service.detect.agreement import (
    AGREEMENT_SNAPSHOTS,
    ASPECT_SNAPSHOTS,
    RULES,
    WITNESSES,
    Agreement,
    Rule,
    agreements,
    bears_witness,
    commonest,
)
from bifurk_service.detect.event import Event, begin, unseen, variant_of
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.wake import is_another, join
from bifurk_service.domain import TensorInfo

AFTERMATH_SNAPSHOTS: Final = 24
"""What shifts this soon after an event is its wake: told with it, unless it is clearly another."""
KIN_SNAPSHOTS: Final = 72
"""An event is remembered this long, for slower kinds that saw the same begin."""
COMPANY_SNAPSHOTS: Final[dict[str, int]] = {
    "variance_burst": AGREEMENT_SNAPSHOTS,
    "one_bad_snapshot": 1,
}
"""Kinds that speak once ``WITNESSES`` tensors do within so many snapshots, wherever they are."""


class Merger:
    """Turns the findings of each snapshot into events, new ones and such as have grown."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._recent: list[Finding] = []
        self._events: list[Event] = []

    @property
    def events(self) -> Sequence[Event]:
        """All that are remembered, in order of their beginning."""
        return self._events

    def update(
        self, sequence: int, findings: Sequence[Finding], tensors: Sequence[TensorInfo]
    ) -> list[Event]:
        """Events that are new or have grown at this snapshot, in order of their beginning."""
        self._events = [
            event for event in self._events if sequence - event.first_sequence < KIN_SNAPSHOTS
        ]
        findings = [finding for finding in findings if bears_witness(finding, tensors)]
        waiting = [*self._recent, *(one for one in findings if _needs_company(one.kind))]
        self._recent = [one for one in waiting if sequence - one.sequence < ASPECT_SNAPSHOTS]
        fresh: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in findings:
            fresh[finding.kind, variant_of(finding)].append(finding)
        touched: list[Event] = []
        for (kind, variant), those in fresh.items():
            if kind in RULES:
                touched += self._agreed(kind, sequence, tensors)
            else:
                touched += self._merged(kind, variant, those)
        return [event for event in self._events if any(event is one for one in touched)]

    def forget(self) -> None:
        """Closes all events: what comes next has nothing to do with them."""
        self._recent, self._events = [], []

    def as_json(self) -> dict[str, Any]:
        """The whole memory."""
        return {
            "recent": [finding.as_json() for finding in self._recent],
            "events": [event.as_json() for event in self._events],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Takes up what ``as_json`` gave."""
        self._recent = [Finding(**entry) for entry in document["recent"]]
        self._events = [Event.from_json(entry) for entry in document["events"]]

    def _merged(self, kind: str, variant: str, fresh: Sequence[Finding]) -> list[Event]:
        """Findings of a kind that needs no agreement, or only enough tensors."""
        sequence = fresh[-1].sequence
        for event in self._open(kind, sequence):
            if event.variant == variant and sequence - event.last_sequence < AGREEMENT_SNAPSHOTS:
                event.findings += fresh
                event.last_sequence = sequence
                return [event]
        company = self._company(kind, fresh)
        if not company:
            return []
        statistic = commonest([finding.statistic for finding in company])
        self._events.append(begin(self._run, company, statistic=statistic))
        return [self._events[-1]]

    def _company(self, kind: str, fresh: Sequence[Finding]) -> Sequence[Finding]:
        """The findings that make an event, those that waited before the fresh ones; or none."""
        if kind not in COMPANY_SNAPSHOTS:
            return fresh
        since = fresh[-1].sequence - COMPANY_SNAPSHOTS[kind]
        found = [one for one in self._recent if one.kind == kind and one.sequence > since]
        return found if len({finding.tensor for finding in found}) >= WITNESSES else ()

    def _agreed(self, kind: str, sequence: int, tensors: Sequence[TensorInfo]) -> list[Event]:
        recent = [finding for finding in self._recent if finding.kind == kind]
        agreed = [
            agreement
            for agreement in agreements(recent, tensors)
            if agreement.findings[-1].sequence == sequence
        ]
        began = []
        whole_model = any(agreement.rule is Rule.POPULATION for agreement in agreed)
        for agreement in agreed:
            events = self._open(kind, sequence)
            is_wake = bool(events) and whole_model
            if not is_wake and all(is_another(event, agreement, tensors) for event in events):
                began.append(self._begin(agreement))
                for event in events:
                    event.followers = unseen(event.followers, agreement.findings)
                self._events.append(began[-1])
        events = self._open(kind, sequence)
        if not events:
            return []
        grown = join(events, recent, agreed, sequence=sequence, tensors=tensors)
        for event in grown:
            event.last_sequence = sequence
        return [*began, *grown]

    def _begin(self, agreement: Agreement) -> Event:
        return begin(
            self._run,
            agreement.findings,
            statistic=agreement.statistic,
            aspect=agreement.aspect,
            rule=agreement.rule,
        )

    def _open(self, kind: str, sequence: int) -> list[Event]:
        return [
            event
            for event in self._events
            if event.kind == kind and sequence - event.first_sequence < AFTERMATH_SNAPSHOTS
        ]


def _needs_company(kind: str) -> bool:
    return kind in RULES or kind in COMPANY_SNAPSHOTS
