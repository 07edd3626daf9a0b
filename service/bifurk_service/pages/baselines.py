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
from bifurk_service.pages.held_courses import Asked, read_courses_of
from bifurk_service.pages.statistic_courses import title_of
from bifurk_service.pages.views import CompareView
from bifurk_service.pipeline.group_courses import Work, works_of
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
from bifurk_service.stats.statistic import Statistic
from bifurk_service.store.engine import Session
from bifurk_service.store.near import Steps
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.series import find_tensors
from bifurk_service.store.tokens import Grant

MOST_GOOD: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A group of a run held against good ones.

    Attributes:
        values: the run's median over layers at the band's steps, float64 [N].
        left: where it leaves the band; None where it does not.
        good_leaving: how many of the good runs leave the band of the other good ones, out of
            ``good``: what leaving says. None with too few to tell.
        every: of so many snapshots one is held; more than 1 of long runs.
    """

    work: Work
    band: Band
    values: NDArray[np.float64]
    left: Leaving | None
    good: int
    good_leaving: int | None
    every: int = 1


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
    near: Steps | None = None,
) -> list[Held]:
    """Holds groups of a run against the same groups of good ones; long ones at some snapshots.

    Args:
        only: a tensor; its group alone is held. Without it all that match role and glob.
        margins: how far beyond the good ones is outside, see ``band_of``.
        near: two steps, both included, between which no snapshot of the run is left out; see
            ``WHOLE``.

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
    read = read_courses_of(
        request,
        session,
        Asked(
            run_id=run_id,
            works=works,
            good=[run.id for run in good],
            statistic=view.stat,
            near=near,
        ),
    )
    return [
        _held(
            work,
            read.mine[work.name],
            [one[work.name] for one in read.good if work.name in one],
            statistic=view.stat,
            margins=margins,
            every=read.every,
        )
        for work in works
    ]


def title_of_held(held: Held, statistic: Statistic) -> str:
    """What is drawn of it, and what is left out."""
    layers = len(held.work.tensors)
    of = f"median of {layers} layers, {held.work.name}" if layers > 1 else held.work.name
    left_out = f"; one snapshot in {held.every}" if held.every > 1 else ""
    return f"{title_of(statistic)}, {of}{left_out}"


def _held(
    work: Work,
    mine: RunCourse,
    good: Sequence[RunCourse],
    *,
    statistic: str,
    margins: Mapping[int, float],
    every: int,
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
        every=every,
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
