"""Statistics of a snapshot: kept, and read back for the detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bifurk_service.domain import TensorInfo
from bifurk_service.stats.table import STATISTIC_NAMES, MeasuredTensors
from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot, Tensor
from bifurk_service.store.snapshots import MEASURED


def keep_measured(
    session: Session, snapshot: Snapshot, measured: MeasuredTensors, *, now: float
) -> None:
    """Stores a snapshot's statistics and moves it on to ``measured``."""
    run_id = session.scalars(select(Attempt.run_id).where(Attempt.id == snapshot.attempt_id)).one()
    ids = dict(session.execute(select(Tensor.name, Tensor.id).where(Tensor.run_id == run_id)).all())
    rows = [
        {
            "tensor_id": ids[name],
            "attempt_id": snapshot.attempt_id,
            "step": snapshot.step,
            "no_value": dict(reasons) or None,
            **dict(zip(STATISTIC_NAMES, _nullable(values), strict=True)),
        }
        for name, values, reasons in zip(
            measured.names, measured.values, measured.reasons, strict=True
        )
    ]
    if rows:
        session.execute(insert(TENSOR_STATS), rows)
    snapshot.state = MEASURED
    snapshot.measured_at = now


def _nullable(values: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def tensors_of(session: Session, run_id: int) -> list[TensorInfo]:
    """A run's tensors in the order they came in."""
    return [
        TensorInfo(
            id=tensor.id,
            name=tensor.name,
            layer=tensor.layer,
            role=tensor.role,
            shape=tuple(tensor.shape),
        )
        for tensor in session.scalars(
            select(Tensor).where(Tensor.run_id == run_id).order_by(Tensor.id)
        )
    ]


def statistics_at(
    session: Session, snapshot: Snapshot, tensors: Sequence[TensorInfo]
) -> dict[str, NDArray[np.float64]]:
    """Every statistic of a snapshot, float64 [T] as ``tensors`` are, NaN without a value."""
    position = {tensor.id: index for index, tensor in enumerate(tensors)}
    table = np.full((len(STATISTIC_NAMES), len(tensors)), np.nan)
    columns = [TENSOR_STATS.c[name] for name in STATISTIC_NAMES]
    rows = session.execute(
        select(TENSOR_STATS.c.tensor_id, *columns).where(
            TENSOR_STATS.c.attempt_id == snapshot.attempt_id, TENSOR_STATS.c.step == snapshot.step
        )
    )
    for tensor_id, *values in rows:
        table[:, position[tensor_id]] = np.array(values, dtype=np.float64)
    return dict(zip(STATISTIC_NAMES, table, strict=True))
