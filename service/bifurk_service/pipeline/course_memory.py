"""Medians of groups of layers kept in memory: a run that goes on has only what is new read.

Snapshots may come late: where one has been measured since that belongs before the end of what is
kept, all is read again.

Reading is done a few tensors at a time, by generators that pause after each: whoever has other
things to do goes on when there is time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.pipeline.group_courses import Work, median_over_layers
from bifurk_service.stats.baseline import RunCourse
from bifurk_service.store.engine import Database
from bifurk_service.store.series import StatisticCourses, statistic_courses
from bifurk_service.store.sums import measured_until
from bifurk_service.store.timeline import Stretch, timeline

TENSORS_AT_ONCE: Final = 8
MOST_BYTES: Final = 128 << 20
SPARE: Final = 8
"""Of what is kept, a part of this size is left free behind it: seldom is all of it copied."""

Key: TypeAlias = tuple[str, str]
"""Group of layers and statistic."""
Courses: TypeAlias = Mapping[Key, RunCourse]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Room:
    """A course as it was read last lies at the begin of both, of one length."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadRun:
    """Courses of a run up to a step.

    Attributes:
        belongs: what they depend on beside it. until: the step.
        measured: how many snapshots up to it were measured, of all attempts, before it was read.
        known: the courses that have a value.
        origin: the same in what was read before, where this is that and what came after it.
        rooms: where the courses lie.
    """

    belongs: object
    until: int
    measured: int
    courses: Courses
    known: frozenset[Key]
    origin: object
    rooms: Mapping[Key, _Room]

    @property
    def size_bytes(self) -> int:
        """What the courses take."""
        return sum(one.steps.nbytes + one.values.nbytes for one in self.courses.values())


class CourseMemory:
    """The courses read last, the least recently used given up first; for one thread."""

    def __init__(self, database: Database, *, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[int, object], ReadRun] = OrderedDict()

    def read(
        self, run_id: int, works: Sequence[Work], statistics: tuple[str, ...], *, until: int
    ) -> Generator[None, None, ReadRun | None]:
        """The courses of a run up to a step; pauses after every few tensors.

        None where the run was deleted, or another attempt began, while it was read.
        """
        measured, stretches = self._measured(run_id, until), self._stretches(run_id, until)
        place, belongs = _place(run_id, works, statistics), (stretches, _ids(works))
        kept = self._known(place, belongs)
        if kept is not None and kept.until >= until:
            self._kept.move_to_end(place)
            return kept
        courses: dict[Key, RunCourse] = {}
        for work in works:
            rows: list[StatisticCourses] = []
            for first in range(0, len(work.tensors), TENSORS_AT_ONCE):
                ids = [one.id for one in work.tensors[first : first + TENSORS_AT_ONCE]]
                after = -1 if kept is None else kept.until
                rows += self._rows(run_id, statistics, ids, after=after, until=until)
                yield
            courses.update(_medians(work, statistics, rows))
        if stretches != self._stretches(run_id, until):
            return None
        known = frozenset(key for key, one in courses.items() if np.isfinite(one.values).any())
        rooms: dict[Key, _Room] = {}
        if kept is not None:
            for key, new in courses.items():
                courses[key], rooms[key] = _joined(kept, key, new)
            known |= kept.known
        found = ReadRun(
            belongs=belongs,
            until=until,
            measured=measured,
            courses=courses,
            known=known,
            origin=object() if kept is None else kept.origin,
            rooms=rooms,
        )
        self._keep(place, found)
        return found

    def _known(self, place: tuple[int, object], belongs: object) -> ReadRun | None:
        """What is kept, where nothing has come since that belongs before its end."""
        kept = self._kept.get(place)
        if kept is None or kept.belongs != belongs:
            return None
        return kept if self._measured(place[0], kept.until) == kept.measured else None

    def _measured(self, run_id: int, until: int) -> int:
        with self._database.read() as session:
            return measured_until(session, run_id, until)[0]

    def _stretches(self, run_id: int, until: int) -> tuple[Stretch, ...]:
        with self._database.read() as session:
            return tuple(one for one in timeline(session, run_id) if one.first <= until)

    def _rows(
        self,
        run_id: int,
        statistics: tuple[str, ...],
        ids: Sequence[int],
        *,
        after: int,
        until: int,
    ) -> list[StatisticCourses]:
        with self._database.read() as session:
            return list(
                statistic_courses(
                    session, run_id, statistics, ids, first_step=after + 1, last_step=until
                )
            )

    def _keep(self, place: tuple[int, object], kept: ReadRun) -> None:
        self._kept[place] = kept
        self._kept.move_to_end(place)
        size = sum(one.size_bytes for one in self._kept.values())
        while size > self._most_bytes and len(self._kept) > 1:
            size -= self._kept.popitem(last=False)[1].size_bytes


def _place(run_id: int, works: Sequence[Work], statistics: tuple[str, ...]) -> tuple[int, object]:
    return run_id, (statistics, tuple(work.name for work in works))


def _ids(works: Sequence[Work]) -> tuple[int, ...]:
    return tuple(tensor.id for work in works for tensor in work.tensors)


def _medians(
    work: Work, statistics: tuple[str, ...], rows: Sequence[StatisticCourses]
) -> dict[Key, RunCourse]:
    steps = np.unique(np.concatenate([one.steps for one in rows]))
    table = np.full((len(rows), len(steps), len(statistics)), np.nan)
    for own, one in zip(table, rows, strict=True):
        own[np.searchsorted(steps, one.steps)] = one.values
    return {
        (work.name, name): RunCourse(steps=steps, values=_finite(median_over_layers(values)))
        for name, values in zip(statistics, np.moveaxis(table, 2, 0), strict=True)
    }


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _joined(kept: ReadRun, key: Key, new: RunCourse) -> tuple[RunCourse, _Room]:
    """A course with what has come, written behind it where there is room."""
    old = kept.courses[key]
    size, room = len(old.steps) + len(new.steps), kept.rooms.get(key)
    if room is None or len(room.steps) < size:
        room = _Room(
            steps=np.empty(size + size // SPARE, dtype=np.int64),
            values=np.empty(size + size // SPARE),
        )
        room.steps[: len(old.steps)], room.values[: len(old.steps)] = old.steps, old.values
    room.steps[len(old.steps) : size] = new.steps
    room.values[len(old.steps) : size] = new.values
    return RunCourse(steps=room.steps[:size], values=room.values[:size]), room
