"""Medians over layers of a run and of good ones: of long runs at some of their snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError
from bifurk_service.pages.courses import course_cache
from bifurk_service.pipeline.group_courses import Work, median_over_layers, works_of
from bifurk_service.stats.baseline import RunCourse
from bifurk_service.store.common_steps import statistics_at_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.even_steps import even_steps, steps_around
from bifurk_service.store.near import Steps
from bifurk_service.store.series import find_tensors
from bifurk_service.store.sums import sums_of
from bifurk_service.store.timeline import timeline

MOST_SINGLE: Final = 1_000_000
"""Values of all runs together, tensors times snapshots, that are all read: about a second."""
MOST_WHOLE: Final = 4_000_000
"""Read where nothing is to be left out, or too little would be left: some seconds."""
MOST_POINTS: Final = 1_000
"""Snapshots at which a longer run is looked at."""
FEWEST_POINTS: Final = 50
MOST_AT_SOME: Final = 250_000
"""Values read at some snapshots, of all runs together: a value by itself costs several in a row."""
WHOLE: Final[Steps] = (0, LARGEST)
"""Of no run any snapshot is left out."""

Medians: TypeAlias = Mapping[str, RunCourse]
"""By group of layers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What is read of a run and of good ones.

    Attributes:
        works: groups of the run. good: ids of runs.
        near: steps between which no snapshot of the run is left out.
    """

    run_id: int
    works: Sequence[Work]
    good: Sequence[int]
    statistic: str
    near: Steps | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadCourses:
    """Medians of the run and of the good ones; ``every`` is 1 where no snapshot is left out."""

    mine: Medians
    good: Sequence[Medians]
    every: int


def read_courses_of(request: Request, session: Session, asked: Asked) -> ReadCourses:
    """All values of short runs; of long ones the run's at even distances, the others' around those.

    Raises:
        InvalidError: there is more to read than an answer may take.
    """
    runs = asked.run_id, *asked.good
    tensors = sum(len(work.tensors) for work in asked.works)
    values = tensors * sum(sums_of(session, one).with_values for one in runs)
    points = min(MOST_POINTS, MOST_AT_SOME // max(1, tensors * len(runs)))
    is_whole = asked.near == WHOLE or points < FEWEST_POINTS
    if values <= (MOST_WHOLE if is_whole else MOST_SINGLE):
        return _whole(request, session, asked)
    if is_whole:
        raise InvalidError(
            f"{tensors} tensors of {len(runs)} runs are {values:,} points, more than "
            f"{MOST_WHOLE:,}; name a role or a glob",
            where="role",
        )
    return _at_some(session, asked, points)


def _whole(request: Request, session: Session, asked: Asked) -> ReadCourses:
    def read(run_id: int, works: Sequence[Work]) -> Medians:
        ids = [tensor.id for work in works for tensor in work.tensors]
        found = course_cache(request).courses(session, run_id, asked.statistic, ids)
        return _medians(works, found.steps, found.values)

    return ReadCourses(
        mine=read(asked.run_id, asked.works),
        good=[read(one, _same(session, one, asked.works)) for one in asked.good],
        every=1,
    )


def _at_some(session: Session, asked: Asked, points: int) -> ReadCourses:
    own = timeline(session, asked.run_id)
    chosen = even_steps(session, own, points=points, near=asked.near)

    def read(run_id: int, works: Sequence[Work]) -> Medians:
        course, steps = timeline(session, run_id), chosen.steps
        if run_id != asked.run_id:
            steps = steps_around(session, course, own, steps)
        ids = [tensor.id for work in works for tensor in work.tensors]
        values = statistics_at_steps(session, course, (asked.statistic,), ids, steps)
        return _medians(works, steps, values[..., 0])

    return ReadCourses(
        mine=read(asked.run_id, asked.works),
        good=[read(one, _same(session, one, asked.works)) for one in asked.good],
        every=chosen.every,
    )


def _medians(
    works: Sequence[Work], steps: NDArray[np.int64], values: NDArray[np.float64]
) -> Medians:
    """By group, the median over its layers at every step at which enough of them have a value."""
    found, start = {}, 0
    for work in works:
        rows = values[start : start + len(work.tensors)]
        start += len(work.tensors)
        found[work.name] = RunCourse(steps=steps, values=median_over_layers(rows))
    return found


def _same(session: Session, run_id: int, works: Sequence[Work]) -> list[Work]:
    names = {work.name for work in works}
    return [one for one in works_of(find_tensors(session, run_id)) if one.name in names]
