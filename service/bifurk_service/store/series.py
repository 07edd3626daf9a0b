"""Time series of tensors read back, along a run's course or one attempt's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Select, select
from sqlalchemy.orm import Session

from bifurk_service.store.kept_extremes import kept_points, merged
from bifurk_service.store.models import TENSOR_STATS, Tensor
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatisticSeries:
    """One statistic of one tensor: ascending steps int64 [N], values float64 [N], NaN without.

    Attributes:
        is_outlined: whether of a long one only extremes and ends are given.
    """

    tensor_id: int
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    is_outlined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatisticCourses:
    """K statistics of one tensor: ascending steps int64 [N], values float64 [N, K], NaN without."""

    tensor_id: int
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def find_tensors(
    session: Session,
    run_id: int,
    *,
    glob: str | None = None,
    layer: int | None = None,
    role: str | None = None,
) -> list[Tensor]:
    """A run's tensors in the order of the model; ``glob`` matches names with ``*`` and ``?``."""
    query = select(Tensor).where(Tensor.run_id == run_id)
    if layer is not None:
        query = query.where(Tensor.layer == layer)
    if role is not None:
        query = query.where(Tensor.role == role)
    if glob is not None:
        query = query.where(Tensor.name.like(_like(glob), escape="\\"))
    return list(session.scalars(query.order_by(Tensor.id)))


def statistic_series(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
    attempt: str | None = None,
) -> Iterator[StatisticSeries]:
    """The series of some tensors between two steps, both included, one tensor at a time.

    Where an attempt is thinned they hold what was left whole and the extremes of the rest.
    """
    courses = statistic_courses(
        session,
        run_id,
        (statistic,),
        tensor_ids,
        first_step=first_step,
        last_step=last_step,
        attempt=attempt,
    )
    kept = kept_points(
        session,
        timeline(session, run_id, attempt),
        statistic,
        tensor_ids,
        first_step=first_step,
        last_step=last_step,
    )
    for course, points in zip(courses, kept, strict=True):
        steps, values = merged(course.steps, course.values[:, 0], points)
        yield StatisticSeries(tensor_id=course.tensor_id, steps=steps, values=values)


def statistic_courses(
    session: Session,
    run_id: int,
    statistics: Sequence[str],
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
    attempt: str | None = None,
) -> Iterator[StatisticCourses]:
    """Several statistics of some tensors between two steps, both included, a tensor at a time.

    Of what is thinned only what was left whole: extremes of single tensors are no fair sample.

    Args:
        attempt: only what this one saw, see ``timeline``.
    """
    stretches = timeline(session, run_id, attempt)
    for tensor_id in tensor_ids:
        rows = np.concatenate(
            [
                statistic_rows(session, statistics, tensor_id, stretch, first_step, last_step)
                for stretch in stretches
            ]
            or [np.zeros((0, 1 + len(statistics)))]
        )
        yield StatisticCourses(
            tensor_id=tensor_id, steps=rows[:, 0].astype(np.int64), values=rows[:, 1:]
        )


def statistic_rows(
    session: Session,
    statistics: Sequence[str],
    tensor_id: int,
    stretch: Stretch,
    first_step: int | None,
    last_step: int | None,
) -> NDArray[np.float64]:
    """Steps and K statistics of a tensor in a stretch, float64 [n, 1 + K], NaN for null.

    As the driver gives them; exact up to 2^53.
    """
    query = stretch_query(
        statistics, tensor_id, stretch, first_step=first_step, last_step=last_step
    )
    found = session.connection().execute(query).cursor.fetchall()
    return np.array(found, dtype=np.float64).reshape(-1, 1 + len(statistics))


def ends_of(
    session: Session,
    statistic: str,
    tensor_id: int,
    stretch: Stretch,
    first_step: int,
    last_step: int,
) -> list[tuple[int, float]]:
    """Step and value of a tensor's first and last row between two steps, both included."""
    query = stretch_query(
        (statistic,), tensor_id, stretch, first_step=first_step, last_step=last_step
    )
    newest = query.order_by(None).order_by(TENSOR_STATS.c.step.desc())
    rows = [session.execute(one.limit(1)).first() for one in (query, newest)]
    return [(row[0], math.nan if row[1] is None else row[1]) for row in rows if row is not None]


def stretch_query(
    statistics: Sequence[str],
    tensor_id: int | BindParameter[int],
    stretch: Stretch,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> Select[*tuple[Any, ...]]:
    """Step and statistics of one tensor in one stretch, by step; both ends included."""
    table = TENSOR_STATS.c
    query = select(table.step, *(table[name] for name in statistics)).where(
        table.tensor_id == tensor_id, table.attempt_id == stretch.attempt_id
    )
    if first_step is not None:
        query = query.where(table.step >= first_step)
    if (last_step := stretch.last_step(last_step)) is not None:
        query = query.where(table.step <= last_step)
    return query.order_by(table.step)


def _like(glob: str) -> str:
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
