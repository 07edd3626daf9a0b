"""Series computed elsewhere, read back: they are kept like measured ones, and watched alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.errors import ConflictError
from bifurk_service.stats.registry import BY_NAME, Family, Nature, Statistic
from bifurk_service.store.kept_extremes import Points
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ImportedStatistic,
    ImportedValue,
    Snapshot,
)
from bifurk_service.store.series import StatisticSeries
from bifurk_service.store.timeline import Stretch, timeline

IMPORT: Final = "import"
"""Slug of the attempt that imported series belong to, and its source."""

Key = tuple[str, str]
"""Tensor and statistic."""

End: TypeAlias = Literal["first", "last"]
ENDS: Final[tuple[End, ...]] = ("first", "last")


def imported_statistics(session: Session, run_id: int) -> tuple[Statistic, ...]:
    """The statistics a run has brought that are not in the table, in the order they came."""
    rows = session.scalars(
        select(ImportedStatistic)
        .where(ImportedStatistic.run_id == run_id)
        .order_by(ImportedStatistic.id)
    )
    return tuple(
        Statistic(
            name=row.name,
            family=Family.IMPORTED,
            nature=Nature(row.nature),
            unit="as imported",
            formula="as imported",
            meaning="computed elsewhere",
            log_scale=row.log_scale,
        )
        for row in rows
    )


def imported_at(
    session: Session, snapshot: Snapshot, tensor_ids: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """A run's own statistics at a snapshot, by name: float64 [T], NaN without a value."""
    place = {tensor_id: index for index, tensor_id in enumerate(tensor_ids)}
    rows = session.execute(
        select(ImportedStatistic.name, ImportedValue.tensor_id, ImportedValue.value)
        .join(ImportedStatistic, ImportedStatistic.id == ImportedValue.statistic_id)
        .where(ImportedValue.attempt_id == snapshot.attempt_id, ImportedValue.step == snapshot.step)
    )
    values: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.full(len(place), np.nan))
    for name, tensor_id, value in rows:
        if tensor_id in place and value is not None:
            values[name][place[tensor_id]] = value
    return dict(values)


def imported_series(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> Iterator[StatisticSeries]:
    """The series of one of a run's own statistics between two steps, both included."""
    statistic_id = imported_id(session, run_id, statistic)
    stretches = timeline(session, run_id)
    for tensor_id in tensor_ids:
        parts = [
            imported_points(session, statistic_id, tensor_id, stretch, first_step, last_step)
            for stretch in stretches
        ]
        yield StatisticSeries(
            tensor_id=tensor_id,
            steps=np.concatenate([np.zeros(0, dtype=np.int64), *(steps for steps, _ in parts)]),
            values=np.concatenate([np.zeros(0), *(values for _, values in parts)]),
        )


def imported_id(session: Session, run_id: int, statistic: str) -> int | None:
    """Of one of a run's own statistics; None where it has brought none of this name."""
    return imported_ids(session, run_id).get(statistic)


def imported_ids(session: Session, run_id: int) -> dict[str, int]:
    """Ids of a run's own statistics by name, in the order they came."""
    query = select(ImportedStatistic.name, ImportedStatistic.id).where(
        ImportedStatistic.run_id == run_id
    )
    return dict(session.execute(query.order_by(ImportedStatistic.id)).all())


def imported_points(
    session: Session,
    statistic_id: int | None,
    tensor_id: int,
    stretch: Stretch,
    first_step: int | None,
    last_step: int | None,
    *,
    only: End | None = None,
) -> Points:
    """A tensor's values in a stretch between two steps, both included, NaN without.

    Args:
        only: the first of them, or the last.
    """
    query = select(ImportedValue.step, ImportedValue.value).where(
        ImportedValue.statistic_id == statistic_id,
        ImportedValue.tensor_id == tensor_id,
        ImportedValue.attempt_id == stretch.attempt_id,
    )
    if first_step is not None:
        query = query.where(ImportedValue.step >= first_step)
    if (last_step := stretch.last_step(last_step)) is not None:
        query = query.where(ImportedValue.step <= last_step)
    step = ImportedValue.step
    query = query.order_by(step.desc() if only == "last" else step)
    rows = session.execute(query if only is None else query.limit(1)).all()
    return (
        np.array([at for at, _ in rows], dtype=np.int64),
        np.array([value for _, value in rows], dtype=np.float64),
    )


def check_same(
    session: Session,
    attempt: Attempt,
    step: int,
    values: Mapping[Key, float],
    statistics: Mapping[str, int],
    tensors: Mapping[str, int],
) -> None:
    """Refuses what is not stored, or otherwise, at a step that detectors have been given.

    Args:
        values: by tensor and statistic. statistics, tensors: their ids by name.

    Raises:
        ConflictError: a value is not among the stored ones, or another is stored.
    """
    stored = _stored(session, attempt, step, {id_: name for name, id_ in statistics.items()})
    for (tensor, statistic), value in values.items():
        known = stored.get((tensors[tensor], statistic))
        if known is None:
            raise ConflictError(
                f"{statistic} of {tensor} at step {step} is not among what was imported; a step is "
                f"imported once, with all its values, and in order: the last is {attempt.last_step}"
            )
        if not same_value(known, value):
            raise ConflictError(
                f"{statistic} of {tensor} at step {step} is stored as {known}, got {value}; "
                "what is stored never changes"
            )


def _stored(
    session: Session, attempt: Attempt, step: int, names: Mapping[int, str]
) -> dict[tuple[int, str], float]:
    """Values of a step by tensor and statistic; NaN for those that came without one."""
    found: dict[tuple[int, str], float] = {}
    at = (TENSOR_STATS.c.attempt_id == attempt.id, TENSOR_STATS.c.step == step)
    for row in session.execute(select(TENSOR_STATS).where(*at)).mappings():
        for name in BY_NAME:
            found[row["tensor_id"], name] = math.nan if row[name] is None else row[name]
    rows = session.scalars(
        select(ImportedValue).where(
            ImportedValue.attempt_id == attempt.id, ImportedValue.step == step
        )
    )
    for value in rows:
        key = (value.tensor_id, names[value.statistic_id])
        found[key] = math.nan if value.value is None else value.value
    return found


def same_value(one: float, other: float) -> bool:
    """Whether two values are equal, or neither is there."""
    return one == other or (math.isnan(one) and math.isnan(other))
