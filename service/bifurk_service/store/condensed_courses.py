"""Rows of what is condensed beside the statistics: steps, rates, scalars, profiles, imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import extremes_along
from bifurk_service.stats.rows.profile import PROFILE_STATISTICS
from bifurk_service.store.condensed_rows import BINS, Extremes, span
from bifurk_service.store.models import (
    Attempt,
    ImportedStatistic,
    ImportedValue,
    ProfileValue,
    Series,
    SeriesPoint,
    Snapshot,
    Tensor,
)

STEPS: Final = "steps"
"""Of the snapshots that are measured, one course; exact up to 2^53."""
RATE: Final = "learning_rate"
"""Of the first parameter group, one course."""
SCALARS: Final = "scalars"
"""Means of logged scalars, a course a scalar, by the ids of the run's."""
SCALAR_RANGES: Final = "scalar_ranges"
"""The least of their minima and the greatest of their maxima, likewise."""

COUNT: Final = BINS * span(1)
"""Sequences of a row of the first level."""

Places: TypeAlias = Mapping[int, int]
"""By the steps of a row's snapshots, how many sequences behind its begin they are."""


def profile_row(name: str) -> str:
    """The row of a statistic across layers: a course a role, in the order of ``profile_roles``."""
    return f"profile {name}"


def imported_row(place: int) -> str:
    """The row of one of a run's own statistics, by its place among them: a course a tensor."""
    return f"imported {place}"


def profile_roles(session: Session, run_id: int) -> list[str]:
    """The whole model's empty role, then those of a run's tensors; new ones come last."""
    first = func.min(Tensor.id)
    roles = select(Tensor.role).where(Tensor.run_id == run_id).group_by(Tensor.role).order_by(first)
    return list(dict.fromkeys(["", *session.scalars(roles)]))


def condensed_courses(session: Session, attempt: Attempt, start: int) -> dict[str, Extremes]:
    """The rows of the first level that begin with a sequence, by what they are of."""
    snapshots = session.execute(
        select(
            Snapshot.sequence - start,
            Snapshot.step,
            Snapshot.learning_rates[0].as_float(),
            Snapshot.measured_at.is_not(None),
        ).where(
            Snapshot.attempt_id == attempt.id,
            Snapshot.sequence >= start,
            Snapshot.sequence < start + COUNT,
        )
    ).all()
    steps, rates = np.full((COUNT, 1), np.nan), np.full((COUNT, 1), np.nan)
    for place, step, rate, is_measured in snapshots:
        rates[place, 0] = np.nan if rate is None else rate
        steps[place, 0] = step if is_measured else np.nan
    rows = {STEPS: _row(steps), RATE: _row(rates)}
    places = {step: place for place, step, *_ in snapshots}
    if places:
        rows |= _scalars(session, attempt, places)
        rows |= _profiles(session, attempt, places)
        rows |= _imported(session, attempt, places)
    return rows


def _scalars(session: Session, attempt: Attempt, places: Places) -> dict[str, Extremes]:
    own = select(Series.id).where(Series.run_id == attempt.run_id).order_by(Series.id)
    series = session.scalars(own).all()
    if not series:
        return {}
    values = np.full((3, COUNT, len(series)), np.nan)
    number = {series_id: column for column, series_id in enumerate(series)}
    columns = (SeriesPoint.mean, SeriesPoint.min, SeriesPoint.max)
    points = select(SeriesPoint.series_id, SeriesPoint.step, *columns).where(
        SeriesPoint.series_id.in_(series),
        SeriesPoint.attempt_id == attempt.id,
        SeriesPoint.step.between(min(places), max(places)),
    )
    for series_id, step, *found in session.execute(points):
        if step in places:
            values[:, places[step], number[series_id]] = found
    (lows, low_at), (highs, high_at) = (_row(one) for one in values[1:])
    between = np.stack([lows[:, 0], highs[:, 1]], axis=1)
    return {
        SCALARS: _row(values[0]),
        SCALAR_RANGES: (between, np.stack([low_at[:, 0], high_at[:, 1]], axis=1)),
    }


def _profiles(session: Session, attempt: Attempt, places: Places) -> dict[str, Extremes]:
    names = [statistic.name for statistic in PROFILE_STATISTICS]
    roles = profile_roles(session, attempt.run_id)
    number = {role: column for column, role in enumerate(roles)}
    # Names and roles are said, so that the steps are ranges of the key.
    query = select(
        ProfileValue.name, ProfileValue.role, ProfileValue.step, ProfileValue.value
    ).where(
        ProfileValue.attempt_id == attempt.id,
        ProfileValue.name.in_(names),
        ProfileValue.role.in_(roles),
        ProfileValue.step.between(min(places), max(places)),
    )
    values: dict[str, NDArray[np.float64]] = {}
    for name, role, step, value in session.execute(query):
        if step in places:
            if name not in values:
                values[name] = _none(roles)
            values[name][places[step], number[role]] = np.nan if value is None else value
    return {profile_row(name): _row(own) for name, own in values.items()}


def _imported(session: Session, attempt: Attempt, places: Places) -> dict[str, Extremes]:
    own = ImportedStatistic.run_id == attempt.run_id
    brought = session.scalars(
        select(ImportedStatistic.id).where(own).order_by(ImportedStatistic.id)
    )
    statistics = {statistic_id: place for place, statistic_id in enumerate(brought)}
    if not statistics:
        return {}
    every = select(Tensor.id).where(Tensor.run_id == attempt.run_id).order_by(Tensor.id)
    tensors = session.scalars(every).all()
    number = {tensor_id: column for column, tensor_id in enumerate(tensors)}
    query = select(
        ImportedValue.statistic_id,
        ImportedValue.tensor_id,
        ImportedValue.step,
        ImportedValue.value,
    ).where(
        ImportedValue.attempt_id == attempt.id,
        ImportedValue.step.between(min(places), max(places)),
    )
    values: dict[int, NDArray[np.float64]] = {}
    for statistic_id, tensor_id, step, value in session.execute(query):
        if step in places:
            own_place = statistics[statistic_id]
            if own_place not in values:
                values[own_place] = _none(tensors)
            values[own_place][places[step], number[tensor_id]] = np.nan if value is None else value
    return {imported_row(place): _row(course) for place, course in values.items()}


def _none(courses: Sequence[object]) -> NDArray[np.float64]:
    return np.full((COUNT, len(courses)), np.nan)


def _row(values: NDArray[np.float64]) -> Extremes:
    """Of float64 [COUNT, T], NaN without a value."""
    bins = values.reshape(BINS, span(1), -1)
    found = [extremes_along(one) for one in bins]
    return (
        np.stack([extremes for extremes, _ in found]),
        np.stack([at + number * span(1) for number, (_, at) in enumerate(found)]),
    )
