"""A statistic at both sides of a comparison: over steps, tokens or loss, and by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.figures.columns import narrow_enough
from bifurk_service.figures.comparison import MOST_POINTS, SideCourse
from bifurk_service.figures.step_axis import place
from bifurk_service.pages.aligning import lowest_losses, placed_at, token_counts
from bifurk_service.pages.compared import Compared, ComparedSide
from bifurk_service.pages.courses import course_cache
from bifurk_service.pages.views import CompareView
from bifurk_service.services import services
from bifurk_service.store.common_steps import statistics_at_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Tensor
from bifurk_service.store.newest_values import newest_values
from bifurk_service.store.outlined_series import Asked, outlined_series
from bifurk_service.store.outlines import by_step
from bifurk_service.store.span_courses import read_spans
from bifurk_service.store.sums import measured_until, sums_of
from bifurk_service.store.timeline import timeline

MOST_SINGLE: Final = 250_000
"""Values read one by one for a picture of a side; of a longer run, what is condensed is read."""
MOST_COLUMNS: Final = 600
"""Of the shade of a long run."""


def compared_courses(
    request: Request, found: Compared, view: CompareView, *, most_single: int | None = None
) -> list[SideCourse]:
    """The chosen tensor's course of each run that has one to draw; of one run just that.

    Args:
        most_single: of what has more values a picture is to be drawn, in fewer points.
    """
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
            tensors = 1 if found.group is None else 1 + len(found.group.tensors)
            values = tensors * sums_of(session, side.run.id).with_values
            course = (
                _whole(request, session, found, side, view)
                if most_single is None or values <= most_single
                else _outlined(session, found, side, view, marked)
            )
            if course.x.size:
                courses.append(replace(course, name=name, marks=marked))
    return courses


def _whole(
    request: Request, session: Session, found: Compared, side: ComparedSide, view: CompareView
) -> SideCourse:
    """Every value."""
    ids = [tensor.id for tensor in _tensors(found, side)]
    read = course_cache(request).courses(session, side.run.id, view.stat, ids)
    at = _places(session, side.run.id, read.steps, view)
    kept = np.isfinite(read.values[0]) & np.isfinite(at)
    rows = read.values[:, kept]
    has_shade = len(rows) > 1 and _is_shaded(view) and bool(kept.any())
    return SideCourse(
        name="",
        x=at[kept],
        steps=read.steps[kept],
        values=rows[0],
        low=np.nanmin(rows, axis=0) if has_shade else None,
        high=np.nanmax(rows, axis=0) if has_shade else None,
    )


def _outlined(
    session: Session,
    found: Compared,
    side: ComparedSide,
    view: CompareView,
    marked: tuple[int, ...],
) -> SideCourse:
    """A long course in fewer points, and at the marked steps; the shade from what is condensed."""
    run_id, ids = side.run.id, [tensor.id for tensor in _tensors(found, side)]
    asked = Asked(run_id=run_id, statistic=view.stat, tensor_ids=ids[:1], points=MOST_POINTS)
    [series] = outlined_series(session, asked)
    course, at_marks = timeline(session, run_id), np.unique(marked)
    values = statistics_at_steps(session, course, (view.stat,), ids[:1], at_marks)[0, :, 0]
    steps, values = by_step(np.append(series.steps, at_marks), np.append(series.values, values))
    at = _places(session, run_id, steps, view, points=MOST_POINTS)
    kept = np.isfinite(values) & np.isfinite(at)
    found_course = SideCourse(name="", x=at[kept], steps=steps[kept], values=values[kept])
    if not ids[1:] or not _is_shaded(view):
        return found_course
    return _shaded(session, run_id, ids[1:], view, found_course)


def _shaded(
    session: Session,
    run_id: int,
    tensor_ids: Sequence[int],
    view: CompareView,
    course: SideCourse,
) -> SideCourse:
    """With the extremes of tensors over stretches that are narrow enough to be drawn as one."""
    _, last = measured_until(session, run_id)
    axis = view.axis if view.align == "steps" else "linear"
    narrow = narrow_enough(last, columns=MOST_COLUMNS, scale=axis)
    spans = read_spans(session, run_id, view.stat, tensor_ids, narrow=narrow)
    steps = np.column_stack((spans.first, spans.last)).reshape(-1)
    at = _places(session, run_id, steps, view, points=MOST_POINTS)
    low, high = np.fmin.reduce(spans.low, axis=0), np.fmax.reduce(spans.high, axis=0)
    is_edge = np.column_stack((spans.first >= 0, spans.first < spans.last)).reshape(-1)
    kept = is_edge & np.isfinite(at) & np.repeat(np.isfinite(low), 2)
    return replace(
        course,
        shade_x=at[kept],
        low=np.repeat(low, 2)[kept],
        high=np.repeat(high, 2)[kept],
    )


def _is_shaded(view: CompareView) -> bool:
    """Several snapshots stand at one lowest loss: a band over them would say nothing."""
    return view.align != "loss"


def profile_values(
    request: Request, found: Compared, view: CompareView
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The statistic of every layer of the chosen tensor's group at both sides, float64 [L] each.

    Where a statistic has no value at the step itself (spectra are computed less often), the newest
    before it counts.
    """
    group = found.group
    names = [] if group is None else [tensor.name for tensor in group.tensors]
    with services(request).database.read() as session:
        this, other = (
            newest_values(
                session,
                side.run.id,
                view.stat,
                [side.tensors[name].id for name in names],
                side.step,
            )
            for side in (found.this, found.other)
        )
    return this, other


def _tensors(found: Compared, side: ComparedSide) -> list[Tensor]:
    """The chosen tensor first, then its group by depth."""
    names = [found.chosen]
    if found.group is not None:
        names += [tensor.name for tensor in found.group.tensors]
    return [side.tensors[name] for name in names]


def _places(
    session: Session,
    run_id: int,
    steps: NDArray[np.int64],
    view: CompareView,
    *,
    points: int | None = None,
) -> NDArray[np.float64]:
    if view.align == "steps":
        return place(steps, view.axis)
    read = token_counts if view.align == "tokens" else lowest_losses
    return placed_at(steps, *read(session, run_id, points=points))
