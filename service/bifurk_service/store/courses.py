"""One statistic of many tensors over all steps, read at once: what heatmaps are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot
from bifurk_service.store.series import Stretch, stretch_query, timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Courses:
    """T tensors at N steps: steps int64 [N], ascending; values float64 [T, N], NaN without one."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def read_courses(
    session: Session, run_id: int, statistic: str, tensor_ids: Sequence[int], *, after: int = -1
) -> Courses:
    """A registered statistic along the run's timeline, from the first step beyond ``after``.

    The driver's rows go straight into arrays: a million values in less than a second.
    """
    stretches = [
        stretch
        for stretch in timeline(session, run_id)
        if stretch.end is None or stretch.end > after + 1
    ]
    return _aligned(
        [
            np.concatenate(
                [_course(session, statistic, tensor_id, one, after) for one in stretches]
                or [np.zeros((0, 2))]
            )
            for tensor_id in tensor_ids
        ]
    )


def _course(
    session: Session, statistic: str, tensor_id: int, stretch: Stretch, after: int
) -> NDArray[np.float64]:
    """Steps and values of one tensor in one stretch, float64 [n, 2]; infinity for null."""
    query = stretch_query((statistic,), tensor_id, stretch, first_step=after + 1)
    value = func.coalesce(TENSOR_STATS.c[statistic], math.inf)
    rows = session.connection().execute(query.with_only_columns(TENSOR_STATS.c.step, value))
    raw = cast("Iterable[tuple[float, float]]", rows.cursor)
    return np.fromiter(chain.from_iterable(raw), dtype=np.float64).reshape(-1, 2)


def _aligned(found: Sequence[NDArray[np.float64]]) -> Courses:
    """Series of steps and values, [n, 2] each, on the steps that any of them has."""
    every = [rows[:, 0].astype(np.int64) for rows in found]
    steps = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype=np.int64)
    values = np.full((len(found), len(steps)), np.nan)
    for row, (own, rows) in enumerate(zip(every, found, strict=True)):
        values[row, np.searchsorted(steps, own)] = rows[:, 1]
    values[np.isinf(values)] = np.nan
    return Courses(steps=steps, values=values)


def measured_until(session: Session, run_id: int, step: int | None = None) -> tuple[int, int]:
    """How many snapshots of a run are measured, and the last step of them; -1 without any.

    They are measured in no certain order: as many up to a step as there were means the same ones.

    Args:
        step: only those up to this one.
    """
    query = (
        select(func.count(), func.coalesce(func.max(Snapshot.step), -1))
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.run_id == run_id, Snapshot.measured_at.is_not(None))
    )
    if step is not None:
        query = query.where(Snapshot.step <= step)
    count, last = session.execute(query).one()
    return int(count), int(last)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """Learning rates along a run: steps int64 [N], the first group's rate float64 [N]."""

    steps: NDArray[np.int64]
    rates: NDArray[np.float64]


def learning_rates(session: Session, run_id: int) -> Rates:
    """The first parameter group's learning rate at every snapshot of the timeline."""
    rows: list[tuple[int, float]] = []
    for stretch in timeline(session, run_id):
        query = (
            select(Snapshot.step, Snapshot.learning_rates)
            .where(Snapshot.attempt_id == stretch.attempt_id)
            .order_by(Snapshot.step)
        )
        if stretch.end is not None:
            query = query.where(Snapshot.step < stretch.end)
        for step, rates in session.execute(query):
            rows.append((step, np.nan if not rates or rates[0] is None else rates[0]))
    return Rates(
        steps=np.array([step for step, _ in rows], dtype=np.int64),
        rates=np.array([rate for _, rate in rows], dtype=np.float64),
    )
