"""Good runs as a baseline: the band of each group of layers, and where another run leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.api.grants import visible_run
from bifurk_service.errors import InvalidError
from bifurk_service.pages.courses import course_cache
from bifurk_service.pages.views import CompareView
from bifurk_service.pipeline.group_courses import Work, median_over_layers, works_of
from bifurk_service.stats.baseline import (
    LEAST_TO_TELL,
    ONCE,
    Band,
    Leaving,
    RunCourse,
    at_steps,
    band_of,
    leaving,
)
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.engine import Session
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.series import find_tensors
from bifurk_service.store.snapshot_lists import measured_steps
from bifurk_service.store.tokens import Grant

MOST_GOOD: Final = 20
MOST_POINTS: Final = 4_000_000
"""Read of all runs together, tensors times steps: some seconds the first time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A group of a run held against good ones.

    Attributes:
            values: the run's median over layers at the band's steps, float64 [N].
            left: where it leaves the band; None where it does not.
            good_leaving: how many of the good runs leave the band of the other good ones, out of
    ``good``: what leaving says. None with too few to tell.
    """

    work: Work
    band: Band
    values: NDArray[np.float64]
    left: Leaving | None
    good: int
    good_leaving: int | None


def good_runs(session: Session, grant: Grant, view: CompareView) -> list[RunSummary]:
    """The runs that a view takes as good.

    Raises:
        NotFoundError: one of them is not there. InvalidError: more than a page takes.
    """
    if len(view.good_ids) > MOST_GOOD:
        raise InvalidError(f"at most {MOST_GOOD} good runs, got {len(view.good_ids)}", where="good")
    return [visible_run(session, run_id, grant) for run_id in view.good_ids]


def held_against(
    request: Request,
    session: Session,
    run_id: int,
    good: Sequence[RunSummary],
    view: CompareView,
    *,
    only: str = "",
    margins: Mapping[int, float] = ONCE,
) -> list[Held]:
    """Holds groups of a run against the same groups of good ones.

    Args:
        only: a tensor; its group alone is held. Without it all that match role and glob.
        margins: how far beyond the good ones is outside, see ``band_of``.

    Raises:
        InvalidError: there is more to read than an answer may take.
    """
    works = works_of(find_tensors(session, run_id))
    if only:
        works = [one for one in works if any(tensor.name == only for tensor in one.tensors)]
    else:
        wanted = find_tensors(session, run_id, glob=view.match or None, role=view.role or None)
        ids = {tensor.id for tensor in wanted}
        works = [one for one in works if any(tensor.id in ids for tensor in one.tensors)]
    _check(session, [run_id, *(run.id for run in good)], works)
    mine = _medians(request, session, run_id, works, view.stat)
    theirs = [
        _medians(request, session, run.id, _same(session, run.id, works), view.stat) for run in good
    ]
    return [
        _held(
            work,
            mine[work.name],
            [one[work.name] for one in theirs if work.name in one],
            view.stat,
            margins,
        )
        for work in works
    ]


def _held(
    work: Work,
    mine: RunCourse,
    good: Sequence[RunCourse],
    statistic: str,
    margins: Mapping[int, float],
) -> Held:
    log_scale = BY_NAME[statistic].log_scale
    band = band_of(mine.steps, good, log_scale=log_scale, margins=margins)
    return Held(
        work=work,
        band=band,
        values=mine.values,
        left=leaving(band, mine.values),
        good=len(good),
        good_leaving=_good_leaving(good, log_scale=log_scale),
    )


def _good_leaving(good: Sequence[RunCourse], *, log_scale: bool) -> int | None:
    """Each good run against the others."""
    if len(good) <= LEAST_TO_TELL:
        return None
    count = 0
    for place, one in enumerate(good):
        others = [*good[:place], *good[place + 1 :]]
        band = band_of(one.steps, others, log_scale=log_scale)
        count += leaving(band, at_steps(one.steps, one)) is not None
    return count


def _same(session: Session, run_id: int, works: Sequence[Work]) -> list[Work]:
    names = {work.name for work in works}
    return [one for one in works_of(find_tensors(session, run_id)) if one.name in names]


def _medians(
    request: Request, session: Session, run_id: int, works: Sequence[Work], statistic: str
) -> dict[str, RunCourse]:
    """By group, the median over its layers at every step at which enough of them have a value."""
    ids = [tensor.id for work in works for tensor in work.tensors]
    courses = course_cache(request).courses(session, run_id, statistic, ids)
    found, start = {}, 0
    for work in works:
        rows = courses.values[start : start + len(work.tensors)]
        start += len(work.tensors)
        found[work.name] = RunCourse(steps=courses.steps, values=median_over_layers(rows))
    return found


def _check(session: Session, run_ids: Sequence[int], works: Sequence[Work]) -> None:
    tensors = sum(len(work.tensors) for work in works)
    points = tensors * sum(len(measured_steps(session, run_id)) for run_id in run_ids)
    if points > MOST_POINTS:
        raise InvalidError(
            f"{tensors} tensors of {len(run_ids)} runs are {points:,} points, more than "
            f"{MOST_POINTS:,}; name a role or a glob",
            where="role",
        )
