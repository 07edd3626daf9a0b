"""The judge of one attempt: statistics of each snapshot in, alerts out, state in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import AnyWatch, State
from bifurk_service.detect.event import Event
from bifurk_service.detect.kinship import gather
from bifurk_service.detect.merge import Merger
from bifurk_service.detect.recovery import Recovery
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.report import alert_of, responses, severity_of
from bifurk_service.detect.schedule import RESUME, Schedule
from bifurk_service.detect.seats import Seat, findings_of, seats_of
from bifurk_service.detect.state_archive import (
    MEMORY,
    ForeignStateError,
    archive_of,
    array_text,
    arrays_of,
    document_of,
    text_array,
    understood,
)
from bifurk_service.detect.state_pieces import IDS, TENSORS, cut, joined
from bifurk_service.domain import Alert, Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME, Statistic

VERSION: Final = 2
"""Raised when merging or the layout of the state changes."""

_DEFINITION: Final = "definition"
_SERIES: Final = "series/"
"""Before the statistic's name, of the group of its detectors' arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What judging one snapshot came to.

    Attributes:
        alerts: new or grown, told apart by their fingerprint.
        returned: fingerprints of alerts raised before whose series have been back long enough,
            each once; an alert that grows afterwards can return again.
    """

    alerts: tuple[Alert, ...] = ()
    returned: tuple[str, ...] = ()


class Judge:
    """Runs every watch over the snapshots of one attempt, in ascending sequence.

    Args:
        run: its name, which sentences begin with.
        watches: which detectors watch which statistics.
        statistics: what the watches' names stand for.
    """

    def __init__(
        self,
        run: str,
        *,
        watches: Sequence[AnyWatch] = WATCHES,
        statistics: Mapping[str, Statistic] = BY_NAME,
    ) -> None:
        self._run = run
        self._seats = tuple(seats_of(watches, statistics))
        self._merger = Merger(run)
        self._schedule = Schedule()
        self._recovery = Recovery(statistics)
        self._sequence: int | None = None
        self._tensors: tuple[int, ...] = ()

    @property
    def definition(self) -> str:
        """Hash of all that verdicts depend on: detectors, parameters, statistics' definitions."""
        seats = [[seat.key, seat.define(), seat.describe()] for seat in self._seats]
        document = json.dumps([VERSION, seats], sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:16]

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Everything that some detector looks at, once each."""
        return tuple({seat.statistic.name: seat.statistic for seat in self._seats}.values())

    @property
    def tensor_ids(self) -> tuple[int, ...]:
        """Ids of the tensors judged so far, in their order."""
        return self._tensors

    def update(
        self,
        clock: Clock,
        tensors: Sequence[TensorInfo],
        values: Mapping[str, NDArray[np.float64]],
        valid: Mapping[str, NDArray[np.bool_]],
    ) -> Verdict:
        """Judges one snapshot.

        Args:
            clock: when it was taken; its sequence is above that of all before.
            tensors: T tensors in the model's order; new ones only ever at the end.
            values: float64 [T] by statistic; a statistic that is left out has no value.
            valid: bool [T] by statistic, False where there is no value.

        Raises:
            ValueError: the sequence goes back, tensors changed, or an array has another length.
        """
        self._check(clock, tensors)
        self._schedule.take(clock)
        if any(mark.kind == RESUME for mark in clock.marks):
            self._merger.forget()
        findings = [
            found
            for seat in self._seats
            for found in findings_of(seat, clock, tensors, values, valid)
        ]
        grown = self._merger.update(clock.sequence, findings, tensors)
        self._sequence, self._tensors = clock.sequence, tuple(tensor.id for tensor in tensors)
        alerts = self._tell(grown, tensors)
        returned = self._recovery.update(values, valid)
        return Verdict(alerts=alerts, returned=returned)

    def snapshot(self) -> bytes:
        """The whole state as a numpy archive without pickles."""
        memory = {**self._remembered(), "tensors": self._tensors}
        arrays: State = {
            _DEFINITION: text_array(self.definition),
            MEMORY: text_array(json.dumps(memory)),
        }
        for seat in self._seats:
            for name, array in seat.detector.snapshot().items():
                arrays[f"{seat.key}/{name}"] = array
        return archive_of(arrays)

    def restore(self, state: bytes) -> None:
        """Takes up what ``snapshot`` gave, and continues as if nothing had happened.

        Raises:
            ForeignStateError: the bytes are no such state, or come from another definition; the
                judge is not to be used any more.
        """
        arrays = arrays_of(state)
        self._check_definition(arrays)
        with understood():
            memory = document_of(arrays.get(MEMORY))
            for seat in self._seats:
                seat.detector.restore(_under(f"{seat.key}/", arrays))
            self._tensors = tuple(memory["tensors"])
            self._remember(memory)

    def put_away(self) -> Iterator[bytes]:
        """The whole state in pieces of a few MiB; nothing may be judged until all are taken.

        What has not changed gives the same piece again.
        """
        memory = text_array(json.dumps(self._remembered()))
        own = {_DEFINITION: text_array(self.definition), MEMORY: memory}
        yield from cut(MEMORY, own, rows=len(memory))
        count = len(self._tensors)
        yield from cut(TENSORS, {IDS: np.array(self._tensors, dtype=np.int64)}, rows=count)
        for name, seats in self._by_statistic().items():
            arrays = {
                f"{seat.kind}/{key}": array
                for seat in seats
                for key, array in seat.detector.snapshot().items()
            }
            yield from cut(_SERIES + name, arrays, rows=count)

    def take_up(self, pieces: Iterable[bytes]) -> None:
        """Takes up what ``put_away`` gave, in its order, and continues as if nothing had happened.

        Raises:
            ForeignStateError: a piece is missing or damaged, or they come from another definition;
                the judge is not to be used any more.
        """
        seats, missing = self._by_statistic(), {MEMORY, TENSORS}
        missing |= {_SERIES + name for name in seats}
        for group, arrays in joined(pieces):
            with understood():
                missing.remove(group)
                if group == MEMORY:
                    self._check_definition(arrays)
                    self._remember(document_of(arrays.get(MEMORY)))
                elif group == TENSORS:
                    self._tensors = tuple(arrays[IDS].tolist())
                else:
                    for seat in seats[group.removeprefix(_SERIES)]:
                        seat.detector.restore(_under(f"{seat.kind}/", arrays))
        if missing:
            raise ForeignStateError(f"a state without its pieces of {', '.join(sorted(missing))}")

    def _by_statistic(self) -> dict[str, list[Seat]]:
        found: dict[str, list[Seat]] = {}
        for seat in self._seats:
            found.setdefault(seat.statistic.name, []).append(seat)
        return found

    def _check_definition(self, arrays: State) -> None:
        found = array_text(arrays.get(_DEFINITION))
        if found != self.definition:
            raise ForeignStateError(f"state of definition {found!r}, this is {self.definition!r}")

    def _remembered(self) -> dict[str, Any]:
        return {
            "run": self._run,
            "sequence": self._sequence,
            "merger": self._merger.as_json(),
            "schedule": self._schedule.as_json(),
            "recovery": self._recovery.as_json(),
        }

    def _remember(self, memory: Mapping[str, Any]) -> None:
        self._sequence = memory["sequence"]
        self._merger.restore(memory["merger"])
        self._schedule.restore(memory["schedule"])
        self._recovery.restore(memory["recovery"])

    def _tell(self, grown: Sequence[Event], tensors: Sequence[TensorInfo]) -> tuple[Alert, ...]:
        if not grown:
            return ()
        severities = {
            event.fingerprint: severity_of(event, tensors, self._schedule)
            for event in self._merger.events
        }
        events = gather(
            self._merger.events, grown, severity=lambda event: severities[event.fingerprint]
        )
        alerts = tuple(self._alert(event, tensors) for event in events)
        for event, alert in zip(events, alerts, strict=True):
            self._schedule.remember(alert.explained_by, responses(event))
            if event in grown:
                self._recovery.follow(alert, tensors)
        return alerts

    def _alert(self, event: Event, tensors: Sequence[TensorInfo]) -> Alert:
        return alert_of(
            event,
            run=self._run,
            tensors=tensors,
            schedule=self._schedule,
            detector=self._describe(event.kind, event.statistic),
        )

    def _check(self, clock: Clock, tensors: Sequence[TensorInfo]) -> None:
        if self._sequence is not None and clock.sequence <= self._sequence:
            raise ValueError(f"sequence {clock.sequence} does not follow {self._sequence}")
        known = self._tensors
        if tuple(tensor.id for tensor in tensors[: len(known)]) != known:
            raise ValueError(f"the first {len(known)} tensors are not those judged so far")

    def _describe(self, kind: str, statistic: str) -> dict[str, Any]:
        key = f"{kind}/{statistic}"
        return next(seat.describe() for seat in self._seats if seat.key == key)


def _under(prefix: str, arrays: State) -> State:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
