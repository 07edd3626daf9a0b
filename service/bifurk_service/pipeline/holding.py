"""Courses of a run held against those of good ones, some at a time, between other things to do."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.baseline_departures import (
    Departure,
    HeldCourse,
    Outside,
    departures,
    held_by_others,
    joined,
    names_that_tell,
    outside,
)
from bifurk_service.pipeline.course_memory import Courses, Key
from bifurk_service.pipeline.group_courses import Work
from bifurk_service.stats.baseline import LEAST_TO_TELL, at_steps
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.measurements import info_of

COURSES_AT_ONCE: Final = 32
Held: TypeAlias = list[HeldCourse]
Same: TypeAlias = tuple[tuple[int, ...], tuple[tuple[str, str], ...]]
"""Ids of good runs, and their courses."""
Extent: TypeAlias = tuple[tuple[int, int, int], ...]
"""Ids of good runs, the steps up to which they are read, and how many snapshots were measured."""


def held_courses(
    works: Sequence[Work], mine: Courses, good: Mapping[str, Courses]
) -> tuple[NDArray[np.int64], Held]:
    """The steps of a run, int64 [N], and its courses with those of the good runs that have them.

    Args:
        works: groups of the run. mine: its courses. good: theirs, by name of the run.
    """
    steps = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(one.steps for one in mine.values())])
    )
    tensors = {work.name: [info_of(one) for one in work.tensors] for work in works}
    return steps, [
        HeldCourse(
            group=group,
            statistic=statistic,
            log_scale=BY_NAME[statistic].log_scale,
            tensors=tensors[group],
            values=at_steps(steps, course),
            good={
                name: courses[group, statistic]
                for name, courses in good.items()
                if (group, statistic) in courses
            },
        )
        for (group, statistic), course in mine.items()
    ]


def strangers(mine: Courses, good: Mapping[str, Courses]) -> tuple[str, ...]:
    """The good runs that have no value of any course of which a run has one.

    None of them is, while the run itself has none.

    Args:
        mine: courses of the run. good: theirs, by name of the run.
    """
    known = _with_values(mine)
    return tuple(name for name, own in good.items() if known and not known & _with_values(own))


def _with_values(courses: Courses) -> set[Key]:
    return {key for key, one in courses.items() if np.isfinite(one.values).any()}


def outside_in_portions(
    steps: NDArray[np.int64], held: Sequence[HeldCourse], *, least_good: int
) -> Generator[None, None, Outside]:
    """``detect.baseline_departures.outside``, with a pause after every few courses."""
    parts = []
    for first in range(0, max(len(held), 1), COURSES_AT_ONCE):
        portion = held[first : first + COURSES_AT_ONCE]
        parts.append(outside(steps, portion, least_good=least_good))
        yield
    return joined(parts)


def last_departure(found: Outside, *, least: int) -> Departure | None:
    """The newest of a run, which may go on."""
    every = departures(found, least=least)
    return every[-1] if every else None


class GoodMemory:
    """How far good runs leave the band of one another; done again only where more is there."""

    def __init__(self) -> None:
        self._known: dict[Same, tuple[Extent, dict[str, int]]] = {}

    def most(
        self, held: Sequence[HeldCourse], *, of: Extent
    ) -> Generator[None, None, dict[str, int]]:
        """``detect.baseline_departures.most_of_good``, with pauses.

        Args:
            held: with the courses of the good runs. of: those.
        """
        same = tuple(run for run, *_ in of), tuple((one.group, one.statistic) for one in held)
        known = self._known.get(same)
        if known is not None and known[0] == of:
            return known[1]
        found = {}
        for name in names_that_tell(held):
            steps, others = held_by_others(held, name)
            part = yield from outside_in_portions(steps, others, least_good=LEAST_TO_TELL)
            found[name] = part.most
        self._known[same] = of, found
        return found
