"""A statistic at both sides of a comparison: over steps, tokens or loss, and by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.figures.comparison import SideCourse
from bifurk_service.figures.step_axis import place
from bifurk_service.pages.aligning import lowest_losses, placed_at, token_counts
from bifurk_service.pages.compared import Compared, ComparedSide
from bifurk_service.pages.courses import course_cache
from bifurk_service.pages.views import CompareView
from bifurk_service.services import services
from bifurk_service.store.courses import Courses
from bifurk_service.store.engine import Session


def compared_courses(request: Request, found: Compared, view: CompareView) -> list[SideCourse]:
    """The chosen tensor's course of each run that has one to draw; of one run just that."""
    sides = [(found.this, found.labels[0]), (found.other, found.labels[1])]
    marks: list[tuple[int, ...]] = [(found.this.step,), (found.other.step,)]
    if found.one_run:
        run = found.this.run
        sides, marks = (
            [(found.this, run.display_name or run.run)],
            [(found.this.step, found.other.step)],
        )
    courses = []
    with services(request).database.read() as session:
        for (side, name), marked in zip(sides, marks, strict=True):
            read = _read(request, session, found, side, view)
            at = _places(session, side.run.id, read.steps, view)
            kept = np.isfinite(read.values[0]) & np.isfinite(at)
            if not kept.any():
                continue
            # Several snapshots stand at one lowest loss: a band over them would say nothing.
            shaded = len(read.values) > 1 and view.align != "loss"
            rows = read.values[:, kept]
            courses.append(
                SideCourse(
                    name=name,
                    x=at[kept],
                    steps=read.steps[kept],
                    values=rows[0],
                    low=np.nanmin(rows, axis=0) if shaded else None,
                    high=np.nanmax(rows, axis=0) if shaded else None,
                    marks=marked,
                )
            )
    return courses


def profile_values(
    request: Request, found: Compared, view: CompareView
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The statistic of every layer of the chosen tensor's group at both sides, float64 [L] each.

    Where a statistic has no value at the step itself (spectra are computed less often), the newest
    before it counts.
    """
    with services(request).database.read() as session:
        this, other = (
            _at_step(_read(request, session, found, side, view), side.step)
            for side in (found.this, found.other)
        )
    return this, other


def _read(
    request: Request, session: Session, found: Compared, side: ComparedSide, view: CompareView
) -> Courses:
    """The chosen tensor first, then its group by depth."""
    names = [found.chosen]
    if found.group is not None:
        names += [tensor.name for tensor in found.group.tensors]
    ids = [side.tensors[name].id for name in names]
    return course_cache(request).courses(session, side.run.id, view.stat, ids)


def _at_step(read: Courses, step: int) -> NDArray[np.float64]:
    upto = read.values[1:, : int(np.searchsorted(read.steps, step, side="right"))]
    return np.array([_last(row) for row in upto], dtype=np.float64)


def _last(row: NDArray[np.float64]) -> float:
    known: Sequence[int] = np.flatnonzero(np.isfinite(row)).tolist()
    return float(row[known[-1]]) if known else float("nan")


def _places(
    session: Session, run_id: int, steps: NDArray[np.int64], view: CompareView
) -> NDArray[np.float64]:
    if view.align == "steps":
        return place(steps, view.axis)
    known, places = (token_counts if view.align == "tokens" else lowest_losses)(session, run_id)
    return placed_at(steps, known, places)
