"""Singular spectra: kept with every snapshot that carried full values, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session, undefer

from bifurk_service.domain import AlertState
from bifurk_service.stats.spectra.plan import SpectraPlan, vectors_due
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum
from bifurk_service.store.models import (
    Attempt,
    Snapshot,
    SpectrumProgress,
    SpectrumRow,
    StoredAlert,
    Tensor,
)
from bifurk_service.store.nearest import nearest_rows

VALUES: Final = np.dtype("<f8")
VECTORS: Final = np.dtype("<f4")
"""How singular values and vectors lie in the database."""

_KEPT: Final = insert(SpectrumRow)
_PROGRESS: Final = select(SpectrumProgress).where(
    SpectrumProgress.attempt_id == bindparam("attempt")
)
_PROGRESS_WITH_VECTORS: Final = _PROGRESS.options(undefer(SpectrumProgress.first_vectors))
_NAMES: Final = (
    select(Tensor.id, Tensor.name)
    .join(Attempt, Attempt.run_id == Tensor.run_id)
    .where(Attempt.id == bindparam("attempt"))
    .order_by(Tensor.id)
)
_ALERTED: Final = select(StoredAlert.tensors).where(
    StoredAlert.attempt_id == bindparam("attempt"), StoredAlert.state != AlertState.RESOLVED.value
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredSpectrum:
    """The spectrum of one matrix at one step.

    Attributes:
        rows, columns: of the matrix as it was read.
        singular_values: float64 [p], descending, in the weights' unit.
        document: the fits and outliers, as ``MatrixSpectrum.document`` has them.
    """

    step: int
    rows: int
    columns: int
    singular_values: NDArray[np.float64]
    document: Mapping[str, Any]


def keep_spectra(
    session: Session,
    attempt: Attempt,
    snapshot: Snapshot,
    spectra: Mapping[str, MatrixSpectrum],
    tensor_ids: Mapping[str, int],
) -> None:
    """Stores the spectra of an attempt's snapshot, and what the next ones need to know.

    Args:
        session: to write with. spectra, tensor_ids: by name of the tensor.
    """
    rows = [
        {
            "tensor_id": tensor_ids[name],
            "attempt_id": snapshot.attempt_id,
            "step": snapshot.step,
            "rows": spectrum.rows,
            "columns": spectrum.columns,
            "singular_values": spectrum.singular_values.astype(VALUES).tobytes(),
            "document": spectrum.document(),
        }
        for name, spectrum in spectra.items()
        if name in tensor_ids
    ]
    if not rows:
        return
    session.execute(_KEPT, rows)
    known = {progress.tensor_id: progress for progress in _progress(session, attempt.id)}
    for name, spectrum in spectra.items():
        if name in tensor_ids:
            _note(
                session,
                snapshot,
                tensor_ids[name],
                spectrum,
                known,
                first_sequence=attempt.first_sequence or 0,
            )


def spectra_plan(
    session: Session,
    snapshot: Snapshot,
    *,
    budget_seconds: float,
    vectors_every: int,
) -> SpectraPlan:
    """What to measure first at a snapshot: alerts' tensors, then what was measured longest ago.

    Args:
        session: to read with. snapshot: the one to be measured.
        budget_seconds: see ``SpectraPlan``.
        vectors_every: see ``vectors_due``.
    """
    with_vectors = vectors_due(snapshot.sequence, vectors_every)
    progress = {
        p.tensor_id: p for p in _progress(session, snapshot.attempt_id, with_vectors=with_vectors)
    }
    alerted = _alerted(session, snapshot.attempt_id)
    names = _names(session, snapshot.attempt_id)
    by_urgency = sorted(
        names,
        key=lambda tensor_id: (
            tensor_id not in alerted,
            progress[tensor_id].last_sequence if tensor_id in progress else -1,
            tensor_id,
        ),
    )
    return SpectraPlan(
        first=tuple(names[tensor_id] for tensor_id in by_urgency),
        with_vectors=with_vectors,
        first_vectors={
            names[p.tensor_id]: _vectors(p.first_vectors, p.first_rank)
            for p in progress.values()
            if with_vectors
            and p.first_rank
            and _follows(snapshot, p)
            and p.first_vectors is not None
        },
        budget_seconds=budget_seconds,
    )


def latest_spectrum(
    session: Session, tensor_id: int, attempt_id: int, *, step: int
) -> StoredSpectrum | None:
    """The newest spectrum of a tensor in an attempt at or before a step."""
    row = session.scalar(
        select(SpectrumRow)
        .where(
            SpectrumRow.tensor_id == tensor_id,
            SpectrumRow.attempt_id == attempt_id,
            SpectrumRow.step <= step,
        )
        .order_by(SpectrumRow.step.desc())
        .limit(1)
    )
    return None if row is None else _stored(row)


def nearest_singular_values(
    session: Session, attempt_id: int, *, step: int, forward: bool = False
) -> dict[int, NDArray[np.float64]]:
    """By tensor, the singular values of its newest spectrum in an attempt at or before a step.

    Args:
        forward: its first spectrum from the step on instead.
    """
    table = SpectrumRow.__table__
    columns = (table.c.tensor_id, table.c.singular_values)
    rows = nearest_rows(session, table, columns, attempt_id, step=step, forward=forward)
    return {tensor_id: np.frombuffer(stored, dtype=VALUES) for tensor_id, stored in rows}


def _progress(
    session: Session, attempt_id: int, *, with_vectors: bool = False
) -> Sequence[SpectrumProgress]:
    """The first vectors are the one large column."""
    query = _PROGRESS_WITH_VECTORS if with_vectors else _PROGRESS
    return session.scalars(query, {"attempt": attempt_id}).all()


def _names(session: Session, attempt_id: int) -> dict[int, str]:
    return dict(session.execute(_NAMES, {"attempt": attempt_id}).all())


def _alerted(session: Session, attempt_id: int) -> set[int]:
    alerts = session.scalars(_ALERTED, {"attempt": attempt_id})
    return {tensor["id"] for tensors in alerts for tensor in tensors}


def _follows(snapshot: Snapshot, progress: SpectrumProgress) -> bool:
    return progress.first_sequence is not None and snapshot.sequence > progress.first_sequence


def _note(
    session: Session,
    snapshot: Snapshot,
    tensor_id: int,
    spectrum: MatrixSpectrum,
    known: dict[int, SpectrumProgress],
    *,
    first_sequence: int,
) -> None:
    progress = known.get(tensor_id)
    if progress is None:
        progress = SpectrumProgress(
            tensor_id=tensor_id, attempt_id=snapshot.attempt_id, last_sequence=snapshot.sequence
        )
        session.add(progress)
    # Snapshots are measured side by side: a later one may have been kept already.
    progress.last_sequence = max(progress.last_sequence, snapshot.sequence)
    if spectrum.top_vectors is None or progress.first_rank is not None:
        return
    # What comes late, or off the grid, must not be what the others are compared with.
    if not snapshot.off_grid and snapshot.sequence >= first_sequence:
        progress.first_sequence = snapshot.sequence
        progress.first_rank = spectrum.top_vectors.shape[1]
        progress.first_vectors = spectrum.top_vectors.astype(VECTORS).tobytes()


def _vectors(stored: bytes, rank: int) -> NDArray[np.float32]:
    return np.frombuffer(stored, dtype=VECTORS).reshape(-1, rank)


def _stored(row: SpectrumRow) -> StoredSpectrum:
    return StoredSpectrum(
        step=row.step,
        rows=row.rows,
        columns=row.columns,
        singular_values=np.frombuffer(row.singular_values, dtype=VALUES),
        document=row.document,
    )
