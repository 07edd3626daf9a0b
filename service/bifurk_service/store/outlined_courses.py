"""Learning rates and logged scalars for pictures: in fewer points where they are long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_courses import RATE, SCALAR_RANGES, SCALARS
from bifurk_service.store.courses import Courses, Rates, learning_rates, rates_between
from bifurk_service.store.models import Series
from bifurk_service.store.outline_pieces import Ranges, Window, window_of
from bifurk_service.store.outlines import Source, is_long, outlined
from bifurk_service.store.scalars import (
    ScalarPoint,
    points_at,
    scalar_means,
    scalar_points,
    scalar_ranges,
)
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlinedScalar:
    """A logged scalar's intervals, in order; of a long one only those with extremes."""

    points: list[ScalarPoint]
    is_outlined: bool


def outlined_rates(
    session: Session, run_id: int, attempt: str | None = None, *, points: int
) -> Rates:
    """The first parameter group's learning rate, its turns kept in at most so many points."""
    windows = _windows(session, run_id, attempt)
    if not is_long(session, windows, points=points, measured=False):
        return learning_rates(session, run_id, attempt)

    def singles(stretch: Stretch, first_step: int, last_step: int) -> Courses:
        return rates_between(session, stretch, first_step, last_step)

    source = Source(name=RATE, places=np.array([0]), singles=singles)
    [(steps, rates)] = outlined(session, windows, source, points=points)
    ends = _ends(windows, singles)
    every, first = np.unique(np.append(steps, ends.steps), return_index=True)
    return Rates(steps=every, rates=np.append(rates, ends.values[0])[first])


def outlined_scalar(
    session: Session, run_id: int, name: str, attempt: str | None = None, *, points: int
) -> OutlinedScalar:
    """A logged scalar's intervals: all, or of a long one those with extremes.

    Of each stretch of a long one the intervals stay that have the least and the greatest mean, the
    least minimum and the greatest maximum, at most ``points`` in all.

    Args:
        points: at least 8.
    """
    windows = _windows(session, run_id, attempt)
    own = select(Series.id).where(Series.run_id == run_id)
    series_id = session.scalar(own.where(Series.name == name))
    if series_id is None or not is_long(session, windows, points=points, measured=False):
        every = scalar_points(session, run_id, name, attempt)
        return OutlinedScalar(points=every, is_outlined=False)

    def means(stretch: Stretch, first_step: int, last_step: int) -> Courses:
        return scalar_means(session, series_id, stretch, first_step, last_step)

    def ranges(stretch: Stretch, first_step: int, last_step: int) -> Ranges:
        return scalar_ranges(session, series_id, stretch, first_step, last_step)

    place = np.searchsorted(session.scalars(own.order_by(Series.id)).all(), [series_id])
    of_means = Source(name=SCALARS, places=place, singles=means)
    of_ranges = Source(name=SCALAR_RANGES, places=place, singles=ranges)
    steps = [
        outlined(session, windows, source, points=points // 2)[0][0]
        for source in (of_means, of_ranges)
    ]
    chosen = np.unique(np.concatenate([*steps, _ends(windows, means).steps]))
    found = [
        point
        for one in windows
        for point in points_at(session, series_id, one.stretch, chosen.tolist())
    ]
    return OutlinedScalar(points=found, is_outlined=True)


def _windows(session: Session, run_id: int, attempt: str | None) -> list[Window]:
    return [
        window
        for stretch in timeline(session, run_id, attempt)
        if (window := window_of(session, stretch, measured=False)) is not None
    ]


def _ends(windows: list[Window], singles: Callable[[Stretch, int, int], Courses]) -> Courses:
    """What the first and the last snapshot have, in one course."""
    first, last = windows[0], windows[-1]
    ends = [
        singles(one.stretch, step, step)
        for one, step in ((first, first.first_step), (last, last.last_step))
    ]
    return Courses(
        steps=np.concatenate([one.steps for one in ends]),
        values=np.concatenate([one.values for one in ends], axis=1),
    )
