"""What a run takes on the disk: blobs by the byte, statistics by their number."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.models import Attempt, DetectorPiece, DetectorState, Run, Tensor, Thinning
from bifurk_service.store.shown import is_shown
from bifurk_service.store.sums import sums_of

ROW_BYTES: Final = 9 * len(STATISTIC_NAMES)
"""Of one tensor at one snapshot, with key and index entry; SQLite took from 620 (counts) to 940."""
SNAPSHOT_BYTES: Final = 500
"""Of a snapshot without its statistics: its row, receipt and index entries, which always stay."""
SPECTRUM_BYTES: Final = 1_200
"""Of a spectrum beside its singular values: the fits."""


def run_bytes(session: Session, run_id: int) -> int:
    """About how many bytes a run takes; what is marked to go counts until it is gone.

    Added up from sums, whatever lies behind them: see ``store.sums``.
    """
    sums = sums_of(session, run_id)
    tensors = _sum(session, select(func.count()).where(Tensor.run_id == run_id))
    attempts = select(Attempt.id).where(Attempt.run_id == run_id)
    return (
        sums.snapshots * SNAPSHOT_BYTES
        + sums.whole * tensors * ROW_BYTES
        + sums.blob_bytes
        + sums.spectrum_bytes
        + sums.spectra * SPECTRUM_BYTES
        + sums.extremes_bytes
        + sum(
            _sum(session, select(func.sum(func.length(memory))).where(owner.in_(attempts)))
            for memory, owner in (
                (DetectorPiece.data, DetectorPiece.attempt_id),
                (DetectorState.state, DetectorState.attempt_id),
                (Thinning.state, Thinning.attempt_id),
            )
        )
    )


def budgets(session: Session, *, default: int | None) -> list[tuple[int, int]]:
    """Runs that may take no more than so many bytes: id and bytes, oldest first."""
    query = select(Run.id, Run.keep_bytes).where(is_shown()).order_by(Run.id)
    rows = session.execute(query)
    allowed = [(run_id, default if own is None else own) for run_id, own in rows]
    return [(run_id, most) for run_id, most in allowed if most is not None]


def _sum(session: Session, query: Select[Any]) -> int:
    return int(session.scalar(query) or 0)
