"""Rows of what is condensed beside the statistics: steps, learning rates, what users log."""

from __future__ import annotations

from typing import Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import extremes_along
from bifurk_service.store.condensed_rows import BINS, Extremes, span
from bifurk_service.store.models import Attempt, Series, SeriesPoint, Snapshot

STEPS: Final = "steps"
"""Of the snapshots that are measured, one course; exact up to 2^53."""
RATE: Final = "learning_rate"
"""Of the first parameter group, one course."""
SCALARS: Final = "scalars"
"""Means of logged scalars, a course a scalar, by the ids of the run's."""


def condensed_courses(session: Session, attempt: Attempt, start: int) -> dict[str, Extremes]:
    """The rows of the first level that begin with a sequence, by what they are of."""
    count = BINS * span(1)
    snapshots = session.execute(
        select(
            Snapshot.sequence - start,
            Snapshot.step,
            Snapshot.learning_rates[0].as_float(),
            Snapshot.measured_at.is_not(None),
        ).where(
            Snapshot.attempt_id == attempt.id,
            Snapshot.sequence >= start,
            Snapshot.sequence < start + count,
        )
    ).all()
    places = {step: place for place, step, *_ in snapshots}
    steps, rates = np.full((count, 1), np.nan), np.full((count, 1), np.nan)
    for place, step, rate, is_measured in snapshots:
        rates[place, 0] = np.nan if rate is None else rate
        steps[place, 0] = step if is_measured else np.nan
    series = session.scalars(
        select(Series.id).where(Series.run_id == attempt.run_id).order_by(Series.id)
    ).all()
    rows = {STEPS: _row(steps), RATE: _row(rates)}
    if series and places:
        means = np.full((count, len(series)), np.nan)
        number = {series_id: column for column, series_id in enumerate(series)}
        points = select(SeriesPoint.series_id, SeriesPoint.step, SeriesPoint.mean).where(
            SeriesPoint.series_id.in_(series),
            SeriesPoint.attempt_id == attempt.id,
            SeriesPoint.step.between(min(places), max(places)),
            SeriesPoint.mean.is_not(None),
        )
        for series_id, step, mean in session.execute(points):
            if step in places:
                means[places[step], number[series_id]] = mean
        rows[SCALARS] = _row(means)
    return rows


def _row(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Extremes:
    """Of float64 [BINS * span, T], NaN without a value."""
    bins = values.reshape(BINS, span(1), -1)
    found = [extremes_along(one) for one in bins]
    return (
        np.stack([extremes for extremes, _ in found]),
        np.stack([at + number * span(1) for number, (_, at) in enumerate(found)]),
    )
