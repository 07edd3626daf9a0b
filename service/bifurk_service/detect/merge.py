"""From detections to events: agreement is required, and what belongs together is told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bifurk_service.detect.agreement import (
    AGREEMENT_SNAPSHOTS,
    ASPECT_SNAPSHOTS,
    Agreement,
    Rule,
    agreements,
    aspect_of,
    is_near,
)
from bifurk_service.detect.event import Event, begin, unseen, variant_of
from bifurk_service.detect.finding import Finding
from bifurk_service.domain import TensorInfo

AFTERMATH_SNAPSHOTS: Final = 24
"""What shifts this soon after an event is its wake: told with it, not as another."""


class Merger:
    """Turns the findings of each snapshot into events, new ones and such as have grown."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._recent: list[Finding] = []
        self._open: list[Event] = []

    def update(
        self, sequence: int, findings: Sequence[Finding], tensors: Sequence[TensorInfo]
    ) -> list[Event]:
        """Events that are new or have grown at this snapshot, in order of their beginning."""
        self._open = [
            event for event in self._open if sequence - event.first_sequence < AFTERMATH_SNAPSHOTS
        ]
        self._recent = [
            finding for finding in self._recent if sequence - finding.sequence < ASPECT_SNAPSHOTS
        ]
        shifts = [finding for finding in findings if finding.kind == "regime_shift"]
        others = [finding for finding in findings if finding.kind != "regime_shift"]
        touched = [self._merge(finding, sequence) for finding in others]
        self._recent.extend(shifts)
        if shifts:
            touched.extend(self._shifted(sequence, tensors))
        return [event for event in self._open if any(event is one for one in touched)]

    def forget(self) -> None:
        """Closes all events: what comes next has nothing to do with them."""
        self._recent, self._open = [], []

    def as_json(self) -> dict[str, Any]:
        """The whole memory."""
        return {
            "recent": [finding.as_json() for finding in self._recent],
            "open": [event.as_json() for event in self._open],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Takes up what ``as_json`` gave."""
        self._recent = [Finding(**entry) for entry in document["recent"]]
        self._open = [Event.from_json(entry) for entry in document["open"]]

    def _merge(self, finding: Finding, sequence: int) -> Event:
        for event in self._open:
            if (
                (event.kind, event.statistic) == (finding.kind, finding.statistic)
                and event.variant == variant_of(finding)
                and sequence - event.last_sequence < AGREEMENT_SNAPSHOTS
            ):
                event.findings.append(finding)
                event.last_sequence = sequence
                return event
        event = begin(self._run, [finding], statistic=finding.statistic)
        self._open.append(event)
        return event

    def _shifted(self, sequence: int, tensors: Sequence[TensorInfo]) -> list[Event]:
        event = self._open_shift()
        agreed = [
            agreement
            for agreement in agreements(self._recent, tensors)
            if agreement.findings[-1].sequence == sequence
        ]
        if event is None:
            if not agreed:
                return []
            event = self._begin_shift(agreed[0])
        before = len(event.findings) + len(event.followers)
        self._join(event, sequence, agreed, tensors)
        grown = len(event.findings) + len(event.followers) > before
        if grown:
            event.last_sequence = sequence
        return [event] if grown or event.first_sequence == sequence else []

    def _open_shift(self) -> Event | None:
        return next((event for event in self._open if event.kind == "regime_shift"), None)

    def _begin_shift(self, agreement: Agreement) -> Event:
        event = begin(
            self._run,
            agreement.findings,
            statistic=agreement.statistic,
            aspect=agreement.aspect,
            rule=agreement.rule,
        )
        self._open.append(event)
        return event

    def _join(
        self,
        event: Event,
        sequence: int,
        agreed: Sequence[Agreement],
        tensors: Sequence[TensorInfo],
    ) -> None:
        """Who agrees at the time is named; who comes later, or otherwise, follows."""
        recent = [finding for finding in self._recent if is_near(finding, sequence)]
        if sequence - event.first_sequence < AGREEMENT_SNAPSHOTS:
            for agreement in agreed:
                if agreement.aspect == event.aspect and agreement.rule is not Rule.TENSOR:
                    event.findings += unseen(agreement.findings, event.findings)
            layers = _layers(event, tensors) if event.rule == Rule.LAYER else set()
            event.findings += [
                finding
                for finding in unseen(recent, event.findings)
                if aspect_of(finding.statistic) == event.aspect
                and tensors[finding.tensor].layer in layers
            ]
        named = event.named
        others = unseen(recent, [*event.findings, *event.followers])
        event.findings += [finding for finding in others if finding.tensor in named]
        event.followers = [
            finding for finding in [*event.followers, *others] if finding.tensor not in named
        ]


def _layers(event: Event, tensors: Sequence[TensorInfo]) -> set[int]:
    layers = {tensors[finding.tensor].layer for finding in event.findings}
    return {layer for layer in layers if layer is not None}
