"""One statistic of many tensors over all steps, read at once: what heatmaps are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from bifurk_service.store.kept_extremes import kept_points, merged
from bifurk_service.store.models import TENSOR_STATS, Snapshot
from bifurk_service.store.series import stretch_query
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Courses:
    """T tensors at N steps: steps int64 [N], ascending; values float64 [T, N], NaN without one."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def read_courses(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    after: int = -1,
    attempt: str | None = None,
) -> Courses:
    """A registered statistic along the run's timeline, from the first step beyond ``after``.

    With ``attempt``, what that one saw.

    The driver's rows go straight into arrays: a million values in less than a second.
    """
    stretches = [
        stretch
        for stretch in timeline(session, run_id, attempt)
        if stretch.end is None or stretch.end > after + 1
    ]
    parts = [_read(session, statistic, tensor_ids, one, after + 1, None) for one in stretches]
    return _aligned(
        [np.concatenate(rows) for rows in zip(*parts, strict=True)] or _none(tensor_ids)
    )


def read_stretch(
    session: Session,
    statistic: str,
    tensor_ids: Sequence[int],
    stretch: Stretch,
    *,
    first_step: int,
    last_step: int,
) -> Courses:
    """A registered statistic in a part of one stretch of a timeline, both ends included."""
    return _aligned(_read(session, statistic, tensor_ids, stretch, first_step, last_step))


def _read(
    session: Session,
    statistic: str,
    tensor_ids: Sequence[int],
    stretch: Stretch,
    first_step: int,
    last_step: int | None,
) -> list[NDArray[np.float64]]:
    """Steps and values of each tensor in one stretch, float64 [n, 2]; infinity for null.

    Where it is thinned, also the extremes that are kept.
    """
    query = stretch_query(
        (statistic,),
        bindparam("tensor_id"),
        stretch,
        first_step=first_step,
        last_step=last_step,
    )
    value = func.coalesce(TENSOR_STATS.c[statistic], math.inf)
    prepared = query.with_only_columns(TENSOR_STATS.c.step, value)
    connection = session.connection()
    rows = [_pairs(connection.execute(prepared, {"tensor_id": one}).cursor) for one in tensor_ids]
    kept = kept_points(
        session, [stretch], statistic, tensor_ids, first_step=first_step, last_step=last_step
    )
    return [
        np.column_stack(merged(found[:, 0].astype(np.int64), found[:, 1], points))
        if len(points[0])
        else found
        for found, points in zip(rows, kept, strict=True)
    ]


def _pairs(cursor: object) -> NDArray[np.float64]:
    rows = cast("Iterable[tuple[float, float]]", cursor)
    return np.fromiter(chain.from_iterable(rows), dtype=np.float64).reshape(-1, 2)


def _none(tensor_ids: Sequence[int]) -> list[NDArray[np.float64]]:
    return [np.zeros((0, 2)) for _ in tensor_ids]


def on_common_steps(
    steps: Sequence[NDArray[np.int64]], values: Sequence[NDArray[np.float64]]
) -> Courses:
    """Series of steps and values, [n] each, over the steps that any of them has."""
    common = np.unique(np.concatenate(steps)) if steps else np.zeros(0, dtype=np.int64)
    found = np.full((len(steps), len(common)), np.nan)
    for row, (own, course) in enumerate(zip(steps, values, strict=True)):
        found[row, np.searchsorted(common, own)] = course
    return Courses(steps=common, values=found)


def _aligned(found: Sequence[NDArray[np.float64]]) -> Courses:
    """Series of steps and values, [n, 2] each; infinity for null."""
    courses = on_common_steps(
        [rows[:, 0].astype(np.int64) for rows in found], [rows[:, 1] for rows in found]
    )
    courses.values[np.isinf(courses.values)] = np.nan
    return courses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """Learning rates along a run: steps int64 [N], the first group's rate float64 [N]."""

    steps: NDArray[np.int64]
    rates: NDArray[np.float64]


def learning_rates(session: Session, run_id: int, attempt: str | None = None) -> Rates:
    """The first parameter group's learning rate at every snapshot of the timeline."""
    parts = [
        rates_between(session, stretch, 0, None) for stretch in timeline(session, run_id, attempt)
    ]
    return Rates(
        steps=np.concatenate([np.zeros(0, dtype=np.int64), *(one.steps for one in parts)]),
        rates=np.concatenate([np.zeros(0), *(one.values[0] for one in parts)]),
    )


def rates_between(
    session: Session, stretch: Stretch, first_step: int, last_step: int | None
) -> Courses:
    """The same as one course of a stretch, between two steps, both included."""
    query = (
        select(Snapshot.step, Snapshot.learning_rates[0].as_float())
        .where(Snapshot.attempt_id == stretch.attempt_id, Snapshot.step >= first_step)
        .order_by(Snapshot.step)
    )
    if (last_step := stretch.last_step(last_step)) is not None:
        query = query.where(Snapshot.step <= last_step)
    rows = session.execute(query).all()
    return Courses(
        steps=np.array([step for step, _ in rows], dtype=np.int64),
        values=np.array([[rate for _, rate in rows]], dtype=np.float64),
    )
