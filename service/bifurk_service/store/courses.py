"""One statistic of many tensors over all steps, read at once: what heatmaps are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Snapshot
from bifurk_service.store.series import stretch_query, timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Courses:
    """T tensors at N steps: steps int64 [N], ascending; values float64 [T, N], NaN without one."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def read_courses(
    session: Session, run_id: int, statistic: str, tensor_ids: Sequence[int], *, after: int = -1
) -> Courses:
    """A registered statistic along the run's timeline, from the first step beyond ``after``.

    Rows are taken from the driver as it gives them: a million values in about a second.
    """
    stretches = timeline(session, run_id)
    connection = session.connection()
    found: list[NDArray[np.float64]] = []
    for tensor_id in tensor_ids:
        rows = [
            row
            for stretch in stretches
            if stretch.end is None or stretch.end > after + 1
            for row in connection.execute(
                stretch_query((statistic,), tensor_id, stretch, first_step=after + 1)
            ).cursor.fetchall()
        ]
        found.append(np.array(rows, dtype=np.float64).reshape(-1, 2))
    return _aligned(found)


def _aligned(found: Sequence[NDArray[np.float64]]) -> Courses:
    """Series of steps and values, [n, 2] each, on the steps that any of them has."""
    every = [rows[:, 0].astype(np.int64) for rows in found]
    steps = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype=np.int64)
    values = np.full((len(found), len(steps)), np.nan)
    for row, (own, rows) in enumerate(zip(every, found, strict=True)):
        values[row, np.searchsorted(steps, own)] = rows[:, 1]
    return Courses(steps=steps, values=values)


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
