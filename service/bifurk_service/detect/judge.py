"""The judge of one attempt: statistics of each snapshot in, alerts out, state in between."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import (
    AnyWatch,
    Detection,
    Memorable,
    PopulationWatch,
)
from bifurk_service.detect.event import Event
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.kinship import gather
from bifurk_service.detect.merge import Merger
from bifurk_service.detect.recovery import Recovery
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.report import alert_of, responses, severity_of
from bifurk_service.detect.schedule import RESUME, Schedule
from bifurk_service.domain import Alert, Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME, Statistic

VERSION: Final = 2
"""Raised when merging or the layout of the state changes."""

_MEMORY: Final = "judge"
_DEFINITION: Final = "definition"


class ForeignStateError(ValueError):
    """A state that this build cannot take up; the attempt is to be judged anew from here on."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """One detector on one statistic."""

    kind: str
    statistic: Statistic
    detector: Memorable
    ask: Callable[
        [Clock, Sequence[TensorInfo], NDArray[np.float64], NDArray[np.bool_]], list[Detection]
    ]

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.statistic.name}"

    def define(self) -> list[Any]:
        one = self.statistic
        return [one.definition_version, one.nature.value, one.log_scale]

    def describe(self) -> dict[str, Any]:
        return {
            "detector": self.kind,
            "version": self.detector.version,
            "parameters": dict(self.detector.parameters()),
        }


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
        self._seats = tuple(_seats(watches, statistics))
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
            found for seat in self._seats for found in _ask(seat, clock, tensors, values, valid)
        ]
        grown = self._merger.update(clock.sequence, findings, tensors)
        self._sequence, self._tensors = clock.sequence, tuple(tensor.id for tensor in tensors)
        alerts = self._tell(grown, tensors)
        returned = self._recovery.update(values, valid)
        return Verdict(alerts=alerts, returned=returned)

    def snapshot(self) -> bytes:
        """The whole state as a numpy archive without pickles."""
        memory = {
            "run": self._run,
            "sequence": self._sequence,
            "tensors": self._tensors,
            "merger": self._merger.as_json(),
            "schedule": self._schedule.as_json(),
            "recovery": self._recovery.as_json(),
        }
        arrays: dict[str, NDArray[Any]] = {
            _DEFINITION: _as_bytes(self.definition),
            _MEMORY: _as_bytes(json.dumps(memory)),
        }
        for seat in self._seats:
            for name, array in seat.detector.snapshot().items():
                arrays[f"{seat.key}/{name}"] = array
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    def restore(self, state: bytes) -> None:
        """Takes up what ``snapshot`` gave, and continues as if nothing had happened.

        Raises:
            ForeignStateError: the bytes are no such state, or come from another definition.
        """
        arrays = _read(state)
        found = _as_text(arrays.get(_DEFINITION))
        if found != self.definition:
            raise ForeignStateError(f"state of definition {found!r}, this is {self.definition!r}")
        memory = json.loads(_as_text(arrays[_MEMORY]))
        for seat in self._seats:
            prefix = f"{seat.key}/"
            seat.detector.restore(
                {
                    name.removeprefix(prefix): array
                    for name, array in arrays.items()
                    if name.startswith(prefix)
                }
            )
        self._sequence, self._tensors = memory["sequence"], tuple(memory["tensors"])
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


def with_tensor_ids(state: bytes, ids: Mapping[int, int]) -> bytes:
    """What ``Judge.snapshot`` gave, for the same tensors under other ids.

    Raises:
        ForeignStateError: the bytes are no such state, or name a tensor that has no new id.
    """
    arrays = _read(state)
    try:
        memory = json.loads(_as_text(arrays.get(_MEMORY)))
        memory["tensors"] = [ids[one] for one in memory["tensors"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ForeignStateError(f"a state without its tensors: {error!r}") from error
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{**arrays, _MEMORY: _as_bytes(json.dumps(memory))})
    return buffer.getvalue()


def _seats(watches: Sequence[AnyWatch], statistics: Mapping[str, Statistic]) -> Iterator[_Seat]:
    for watch in watches:
        for name in watch.statistics:
            yield _seat(watch, statistics[name])


def _seat(watch: AnyWatch, statistic: Statistic) -> _Seat:
    if isinstance(watch, PopulationWatch):
        among = watch.make(statistic)
        return _Seat(kind=watch.kind, statistic=statistic, detector=among, ask=among.update)
    alone = watch.make(statistic)
    return _Seat(
        kind=watch.kind,
        statistic=statistic,
        detector=alone,
        ask=lambda clock, _, values, valid: alone.update(clock, values, valid),
    )


def _ask(
    seat: _Seat,
    clock: Clock,
    tensors: Sequence[TensorInfo],
    values: Mapping[str, NDArray[np.float64]],
    valid: Mapping[str, NDArray[np.bool_]],
) -> Iterator[Finding]:
    count, name = len(tensors), seat.statistic.name
    series = values.get(name, np.zeros(count))
    known = valid.get(name, np.zeros(count, dtype=np.bool_))
    if series.shape != (count,) or known.shape != (count,):
        raise ValueError(f"{name}: expected {count} values, got {series.shape} and {known.shape}")
    for detection in seat.ask(clock, tensors, series, known):
        yield Finding.of(
            detection,
            kind=seat.kind,
            statistic=seat.statistic,
            sequence=clock.sequence,
            step=clock.step,
        )


def _read(state: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(state), allow_pickle=False) as archive:
            members = archive.zip.infolist()
            # None that it writes is packed, so that no few bytes unpack to many.
            is_own = all(one.compress_type == zipfile.ZIP_STORED for one in members)
            arrays = {name: archive[name] for name in archive.files} if is_own else {}
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise ForeignStateError(f"{len(state)} bytes that are no state") from error
    if not is_own:
        raise ForeignStateError(f"{len(state)} bytes that are no state: its arrays are packed")
    return arrays


def _as_bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _as_text(array: NDArray[Any] | None) -> str:
    return "" if array is None else array.tobytes().decode(errors="replace")
