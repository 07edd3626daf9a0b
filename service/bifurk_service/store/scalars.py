"""The scalars that users log, read back whole or as a sketch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Integer, column, select, values
from sqlalchemy.orm import InstrumentedAttribute, Session

from bifurk_service.store.courses import Courses
from bifurk_service.store.models import Attempt, Series, SeriesPoint
from bifurk_service.store.near import Steps
from bifurk_service.store.outline_pieces import Ranges
from bifurk_service.store.timeline import Stretch, timeline

AT_ONCE: Final = 500
"""Steps that one statement names."""


@dataclass(frozen=True, slots=True)
class ScalarPoint:
    """One interval of a logged scalar, up to a snapshot; None where a value was not finite."""

    step: int
    last: float | None
    mean: float | None
    min: float | None
    max: float | None
    count: int


def scalar_names(session: Session, run_id: int) -> list[str]:
    """Names of the scalars a run has logged, in an order that no database's language decides."""
    return sorted(session.scalars(select(Series.name).where(Series.run_id == run_id)))


def scalar_points(
    session: Session,
    run_id: int,
    name: str,
    attempt: str | None = None,
    *,
    between: Steps | None = None,
) -> list[ScalarPoint]:
    """A logged scalar's intervals along the run's timeline, or those of one attempt.

    Args:
        between: only those that end between two steps, both included.
    """
    columns = [getattr(SeriesPoint, field.name) for field in fields(ScalarPoint)]
    points: list[ScalarPoint] = []
    for stretch in timeline(session, run_id, attempt):
        query = (
            select(*columns)
            .join(Series, SeriesPoint.series_id == Series.id)
            .where(
                Series.run_id == run_id,
                Series.name == name,
                SeriesPoint.attempt_id == stretch.attempt_id,
            )
            .order_by(SeriesPoint.step)
        )
        if stretch.end is not None:
            query = query.where(SeriesPoint.step < stretch.end)
        if between is not None:
            query = query.where(SeriesPoint.step.between(*between))
        rows = session.connection().execute(query).cursor.fetchall()
        points.extend(ScalarPoint(*row) for row in rows)
    return points


def scalar_means(
    session: Session, series_id: int, stretch: Stretch, first_step: int, last_step: int
) -> Courses:
    """A scalar's means in a stretch between two steps, both included, as one course."""
    steps, [means] = _columns(
        session, (SeriesPoint.mean,), series_id, stretch, first_step, last_step
    )
    return Courses(steps=steps, values=means[None])


def scalar_ranges(
    session: Session, series_id: int, stretch: Stretch, first_step: int, last_step: int
) -> Ranges:
    """What lies between its minima and its maxima, likewise."""
    columns = (SeriesPoint.min, SeriesPoint.max)
    steps, [low, high] = _columns(session, columns, series_id, stretch, first_step, last_step)
    return Ranges(steps=steps, low=low[None], high=high[None])


def _columns(
    session: Session,
    columns: Sequence[InstrumentedAttribute[float | None]],
    series_id: int,
    stretch: Stretch,
    first_step: int,
    last_step: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps int64 [N], and columns float64 [K, N], NaN without a value."""
    query = (
        select(SeriesPoint.step, *columns)
        .where(
            SeriesPoint.series_id == series_id,
            SeriesPoint.attempt_id == stretch.attempt_id,
            SeriesPoint.step.between(first_step, stretch.last_step(last_step)),
        )
        .order_by(SeriesPoint.step)
    )
    rows = session.execute(query).all()
    return (
        np.array([step for step, *_ in rows], dtype=np.int64),
        np.array([values for _, *values in rows], dtype=np.float64).reshape(-1, len(columns)).T,
    )


def points_at(
    session: Session, series_id: int, stretch: Stretch, steps: Sequence[int]
) -> list[ScalarPoint]:
    """A scalar's intervals of a stretch that end at some steps, in order."""
    columns = [getattr(SeriesPoint, field.name) for field in fields(ScalarPoint)]
    found: list[ScalarPoint] = []
    for first in range(0, len(steps), AT_ONCE):
        query = select(*columns).where(
            SeriesPoint.series_id == series_id,
            SeriesPoint.attempt_id == stretch.attempt_id,
            SeriesPoint.step.in_(steps[first : first + AT_ONCE]),
        )
        if stretch.end is not None:
            query = query.where(SeriesPoint.step < stretch.end)
        found += [ScalarPoint(*row) for row in session.execute(query.order_by(SeriesPoint.step))]
    return found


def scalar_sketch(session: Session, run_id: int, name: str, *, points: int) -> list[float]:
    """A logged scalar's means, all of up to twice ``points``, else at about ``points`` even steps.

    In the order of attempts and steps, NaN without a value; a long one is not read whole.
    """
    found = select(Series.id).where(Series.run_id == run_id, Series.name == name)
    series_id = session.scalar(found)
    if series_id is None:
        return []
    own = SeriesPoint.series_id == series_id
    order = (SeriesPoint.attempt_id, SeriesPoint.step)
    few = select(SeriesPoint.mean).where(own).order_by(*order).limit(2 * points + 1)
    means = session.scalars(few).all()
    if len(means) > 2 * points:
        means = _sampled(session, own, _even_places(session, run_id, own, points))
    return [math.nan if mean is None else mean for mean in means]


def _even_places(
    session: Session, run_id: int, own: ColumnElement[bool], points: int
) -> list[tuple[int, int]]:
    """About so many attempts and steps, evenly spread over the steps of all attempts."""
    ends = [
        select(SeriesPoint.step)
        .where(own, SeriesPoint.attempt_id == Attempt.id)
        .order_by(order)
        .limit(1)
        .correlate(Attempt)
        .scalar_subquery()
        for order in (SeriesPoint.step, SeriesPoint.step.desc())
    ]
    query = select(Attempt.id, *ends).where(Attempt.run_id == run_id).order_by(Attempt.id)
    extents = [row for row in session.execute(query) if row[1] is not None]
    every = max(1, sum(last - first for _, first, last in extents) // points)
    return [
        (attempt_id, step)
        for attempt_id, first, last in extents
        for step in (*range(first, last, every), last)
    ]


def _sampled(
    session: Session, own: ColumnElement[bool], places: Sequence[tuple[int, int]]
) -> Sequence[float | None]:
    """At each attempt and step the first mean at or after it."""
    place = values(
        column("number", Integer), column("attempt_id", SeriesPoint.attempt_id.type),
        column("step", SeriesPoint.step.type), name="places",
    ).data([(number, *one) for number, one in enumerate(places)]).cte("place")  # fmt: skip
    mean = (
        select(SeriesPoint.mean)
        .where(own, SeriesPoint.attempt_id == place.c.attempt_id, SeriesPoint.step >= place.c.step)
        .order_by(SeriesPoint.step)
        .limit(1)
        .correlate(place)
        .scalar_subquery()
    )
    return session.scalars(select(mean).select_from(place).order_by(place.c.number)).all()
