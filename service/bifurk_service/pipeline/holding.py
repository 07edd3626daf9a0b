"""Courses of a run held against those of good ones, some at a time, between other things to do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
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
from bifurk_service.pipeline.course_memory import Courses, Key, ReadRun
from bifurk_service.pipeline.group_courses import Work
from bifurk_service.stats.baseline import LEAST_TO_TELL, RunCourse, around, at_steps
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.statistic import Statistic
from bifurk_service.store.measurements import info_of

COURSES_AT_ONCE: Final = 32
Held: TypeAlias = list[HeldCourse]
Same: TypeAlias = tuple[tuple[int, ...], tuple[tuple[str, str], ...]]
"""Ids of good runs, and their courses."""
Extent: TypeAlias = tuple[tuple[int, int, object], ...]
"""Ids of good runs, the steps up to which they are read, and what of: see ``ReadRun.origin``."""


def held_courses(
    works: Sequence[Work], mine: Courses, good: Mapping[str, Courses], *, after: int | None = None
) -> tuple[NDArray[np.int64], Held]:
    """The steps of a run, int64 [N], and its courses with those of the good runs that have them.

    Args:
        works: groups of the run. mine: its courses. good: theirs, by name of the run.
        after: only steps beyond this one, and of the good runs what counts there; None for all.
    """
    own = mine if after is None else {key: _beyond(one, after) for key, one in mine.items()}
    steps = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(one.steps for one in own.values())])
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
                if after is None
                else _near(courses[group, statistic], steps, BY_NAME[statistic])
                for name, courses in good.items()
                if (group, statistic) in courses
            },
        )
        for (group, statistic), course in own.items()
    ]


def _near(course: RunCourse, steps: NDArray[np.int64], statistic: Statistic) -> RunCourse:
    if not len(steps):
        return RunCourse(steps=course.steps[:0], values=course.values[:0])
    return around(course, int(steps[0]), int(steps[-1]), log_scale=statistic.log_scale)


def _beyond(course: RunCourse, step: int) -> RunCourse:
    behind = int(np.searchsorted(course.steps, step, side="right"))
    return RunCourse(steps=course.steps[behind:], values=course.values[behind:])


def strangers(mine: ReadRun, good: Mapping[str, ReadRun]) -> tuple[str, ...]:
    """The good runs that have no value of any course of which a run has one.

    None of them is, while the run itself has none.

    Args:
        good: by name of the run.
    """
    return tuple(name for name, own in good.items() if mine.known and not mine.known & own.known)


def outside_in_portions(
    steps: NDArray[np.int64],
    held: Sequence[HeldCourse],
    *,
    least_good: int,
    earlier: Outside | None = None,
) -> Generator[None, None, Outside]:
    """``detect.baseline_departures.outside``, with a pause after every few courses."""
    parts = []
    for first in range(0, max(len(held), 1), COURSES_AT_ONCE):
        stop = first + COURSES_AT_ONCE
        before = None if earlier is None else earlier.part(first, stop)
        parts.append(outside(steps, held[first:stop], least_good=least_good, earlier=before))
        yield
    return joined(parts)


def last_departure(
    found: Outside, *, least: int, known: Departure | None = None
) -> Departure | None:
    """The newest of a run, which may go on.

    Args:
        known: one that was the newest before.
    """
    every = departures(found, least=least, first=0 if known is None else known.seen)
    return every[-1] if every else None


class GoodMemory:
    """How far good runs leave the band of one another; done again only where more is there."""

    def __init__(self) -> None:
        self._known: dict[Same, tuple[Extent, dict[str, int]]] = {}

    def most(
        self, courses: Sequence[Key], whole: Callable[[], Held], *, of: Extent
    ) -> Generator[None, None, dict[str, int]]:
        """``detect.baseline_departures.most_of_good``, with pauses.

        Args:
            courses: which are held. whole: gives them with the courses of the good runs.
            of: those.
        """
        same = tuple(run for run, *_ in of), tuple(courses)
        known = self._known.get(same)
        if known is not None and known[0] == of:
            return known[1]
        found, held = {}, whole()
        for name in names_that_tell(held):
            steps, others = held_by_others(held, name)
            part = yield from outside_in_portions(steps, others, least_good=LEAST_TO_TELL)
            found[name] = part.most
        self._known[same] = of, found
        return found
