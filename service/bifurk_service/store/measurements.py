"""Statistics of a snapshot: kept, and read back for the detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from bifurk_service.domain import TensorInfo
from bifurk_service.stats.measure import Measured
from bifurk_service.stats.table import STATISTIC_NAMES, MeasuredTensors
from bifurk_service.store.condensing import forget_condensed
from bifurk_service.store.models import TENSOR_STATS, Attempt, Snapshot, Tensor
from bifurk_service.store.reasons import reasons_ids
from bifurk_service.store.snapshots import MEASURED

_IDS: Final = select(Tensor.name, Tensor.id).where(Tensor.run_id == bindparam("run"))
_INFOS: Final = (
    select(Tensor.id, Tensor.name, Tensor.layer, Tensor.role, Tensor.shape)
    .join(Attempt, Attempt.run_id == Tensor.run_id)
    .where(Attempt.id == bindparam("attempt"))
)
_STATISTICS: Final = (
    select(TENSOR_STATS.c.tensor_id, *(TENSOR_STATS.c[name] for name in STATISTIC_NAMES))
    .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
    .where(
        TENSOR_STATS.c.attempt_id == bindparam("attempt"),
        TENSOR_STATS.c.step == bindparam("step"),
        Tensor.piece_of.is_(None),
    )
    .order_by(TENSOR_STATS.c.tensor_id)
)
_KEPT: Final = insert(TENSOR_STATS)


class Piece(Protocol):
    """A piece of a fused tensor: of which tensor, and what it is."""

    @property
    def of(self) -> str:
        """The fused tensor's name."""
        ...

    @property
    def role(self) -> str:
        """Of ``bifurk.layout.ROLES``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the piece."""
        ...


def keep_measured(
    session: Session,
    attempt: Attempt,
    snapshot: Snapshot,
    measured: Measured,
    *,
    pieces: Mapping[str, Piece],
    now: float,
) -> dict[str, int]:
    """Stores the statistics of an attempt's snapshot and moves it on to ``measured``.

    Returns:
        Tensor ids by name; a piece whose name a tensor of the run has already is left out.
    """
    ids = _tensor_ids(session, attempt.run_id, pieces)
    rows = _rows(session, attempt, snapshot.step, measured.tensors, ids)
    if rows:
        session.execute(_KEPT, rows)
    forget_condensed(session, attempt, snapshot.sequence)
    snapshot.state = MEASURED
    snapshot.measured_at = now
    snapshot.spectra_skipped = measured.skipped
    return ids


def _rows(
    session: Session, attempt: Attempt, step: int, table: MeasuredTensors, ids: Mapping[str, int]
) -> list[dict[str, Any]]:
    """What ``TENSOR_STATS`` takes of the tensors that have an id."""
    stored = [place for place, name in enumerate(table.names) if name in ids]
    reasons = reasons_ids(session, attempt.run_id, [table.reasons[place] for place in stored])
    return [
        {
            "tensor_id": ids[table.names[place]],
            "attempt_id": attempt.id,
            "step": step,
            "reasons_id": reasons_id,
            **dict(zip(STATISTIC_NAMES, _nullable(table.values[place]), strict=True)),
        }
        for place, reasons_id in zip(stored, reasons, strict=True)
    ]


def _tensor_ids(session: Session, run_id: int, pieces: Mapping[str, Piece]) -> dict[str, int]:
    """Ids of the run's tensors by name; pieces that are new are added."""
    if not pieces:
        return dict(session.execute(_IDS, {"run": run_id}).all())
    known = {
        tensor.name: tensor
        for tensor in session.scalars(select(Tensor).where(Tensor.run_id == run_id))
    }
    taken = {name for name in pieces if name in known and known[name].piece_of is None}
    for name, piece in pieces.items():
        if name in taken or piece.of not in known:
            continue
        fused = known[piece.of]
        if name not in known:
            known[name] = Tensor(run_id=run_id, name=name)
            session.add(known[name])
        described = (fused.layer, piece.role, list(piece.shape), fused.dtype, fused.id)
        stored = known[name]
        if described != (stored.layer, stored.role, stored.shape, stored.dtype, stored.piece_of):
            stored.layer, stored.role, stored.shape, stored.dtype, stored.piece_of = described
    session.flush()
    return {name: tensor.id for name, tensor in known.items() if name not in taken}


def _nullable(values: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def tensors_of(session: Session, attempt_id: int, tensor_ids: Sequence[int]) -> list[TensorInfo]:
    """These tensors of an attempt's run, in this order."""
    rows = session.execute(_INFOS, {"attempt": attempt_id})
    found = {
        tensor_id: TensorInfo(id=tensor_id, name=name, layer=layer, role=role, shape=tuple(shape))
        for tensor_id, name, layer, role, shape in rows
    }
    return [found[tensor_id] for tensor_id in tensor_ids]


def info_of(tensor: Tensor) -> TensorInfo:
    """A stored tensor as detectors and alerts know it."""
    return TensorInfo(
        id=tensor.id,
        name=tensor.name,
        layer=tensor.layer,
        role=tensor.role,
        shape=tuple(tensor.shape),
    )


def statistics_at(
    session: Session, snapshot: Snapshot, *, known: Sequence[int]
) -> tuple[tuple[int, ...], dict[str, NDArray[np.float64]]]:
    """Every statistic of a snapshot, NaN without a value; pieces of fused tensors are left out.

    Args:
        session: to read with. snapshot: a measured one.
        known: ids of the tensors to begin with; others follow in the order of their ids.

    Returns:
        Ids of T tensors, and by statistic float64 [T].
    """
    at = {"attempt": snapshot.attempt_id, "step": snapshot.step}
    rows = session.execute(_STATISTICS, at).all()
    tensor_ids = tuple(dict.fromkeys([*known, *(row[0] for row in rows)]))
    position = {tensor_id: index for index, tensor_id in enumerate(tensor_ids)}
    table = np.full((len(STATISTIC_NAMES), len(tensor_ids)), np.nan)
    for tensor_id, *values in rows:
        table[:, position[tensor_id]] = np.array(values, dtype=np.float64)
    return tensor_ids, dict(zip(STATISTIC_NAMES, table, strict=True))
