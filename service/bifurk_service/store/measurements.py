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


def tensors_of(session: Session, attempt_id: int, tensor_ids: Sequence[int]) -> list[TensorInfo]:
    """These tensors of an attempt's run, in this order."""
    query = (
        select(Tensor)
        .join(Attempt, Attempt.run_id == Tensor.run_id)
        .where(Attempt.id == attempt_id)
    )
    found = {tensor.id: tensor for tensor in session.scalars(query)}
    return [
        TensorInfo(
            id=tensor.id,
            name=tensor.name,
            layer=tensor.layer,
            role=tensor.role,
            shape=tuple(tensor.shape),
        )
        for tensor in (found[tensor_id] for tensor_id in tensor_ids)
    ]


def statistics_at(
    session: Session, snapshot: Snapshot, *, known: Sequence[int]
) -> tuple[tuple[int, ...], dict[str, NDArray[np.float64]]]:
    """Every statistic of a snapshot, NaN without a value.

    Args:
        session: to read with. snapshot: a measured one.
        known: ids of the tensors to begin with; others follow in the order of their ids.

    Returns:
        Ids of T tensors, and by statistic float64 [T].
    """
    columns = [TENSOR_STATS.c[name] for name in STATISTIC_NAMES]
    rows = session.execute(
        select(TENSOR_STATS.c.tensor_id, *columns)
        .where(
            TENSOR_STATS.c.attempt_id == snapshot.attempt_id, TENSOR_STATS.c.step == snapshot.step
        )
        .order_by(TENSOR_STATS.c.tensor_id)
    ).all()
    tensor_ids = tuple(dict.fromkeys([*known, *(row[0] for row in rows)]))
    position = {tensor_id: index for index, tensor_id in enumerate(tensor_ids)}
    table = np.full((len(STATISTIC_NAMES), len(tensor_ids)), np.nan)
    for tensor_id, *values in rows:
        table[:, position[tensor_id]] = np.array(values, dtype=np.float64)
    return tensor_ids, dict(zip(STATISTIC_NAMES, table, strict=True))
