"""Thinning a block of a run's past: what goes and what stays.

Of its snapshots one in 8, 64 or 512 stays whole, and what is pinned; of the others the extremes are
written first, then they are marked, then their rows and blobs go. Whatever a crash interrupts is
done again and comes to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from bifurk_service.store.kept_extremes import BINS, STAGES, forget_kept, span
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ExtremesRow,
    ProfileValue,
    Snapshot,
    SpectrumRow,
    StoredMark,
    StoredPart,
    Tensor,
)
from bifurk_service.store.pins import AROUND, kept_whole
from bifurk_service.store.snapshots import FAILED, JUDGED, LATE
from bifurk_service.store.thinning_blocks import Block

WHOLE, GOING, GONE = 0, 1, 2
"""Values of ``Snapshot.thinned``."""
CHECKPOINT: Final = "checkpoint"
LAST_STAGE: Final = STAGES[-1]
AT_ONCE: Final = 500
"""Ids that one statement names."""


def settled(session: Session, block: Block) -> set[int]:
    """Ids of the block's snapshots of which nothing more comes, to be read before its extremes."""
    query = select(Snapshot.id).where(_in(block), Snapshot.state.in_((JUDGED, LATE, FAILED)))
    return set(session.scalars(query))


def mark_block(session: Session, block: Block, among: set[int]) -> int:
    """Marks what is to go of a block; returns how many snapshots that is.

    Args:
        session: to write with. block: whose extremes are stored.
        among: ids of those that the extremes tell of; what another process measures meanwhile,
            because it came late, is not among them.
    """
    attempt = session.get_one(Attempt, block.attempt_id)
    # Those around the block too: an alert beyond its end keeps what stands before it.
    rows = session.execute(
        select(Snapshot.id, Snapshot.sequence, Snapshot.step, Snapshot.thinned)
        .where(
            Snapshot.attempt_id == attempt.id,
            Snapshot.sequence >= block.start - AROUND,
            Snapshot.sequence < block.end + AROUND,
        )
        .order_by(Snapshot.sequence)
    ).all()
    sequences = np.array([row.sequence for row in rows], dtype=np.int64)
    steps = np.array([row.step for row in rows], dtype=np.int64)
    stays = kept_whole(session, attempt, sequences, steps)
    stays |= (sequences < block.start) | (sequences >= block.end)
    stays |= (sequences % span(block.stage) == 0) | (sequences == (attempt.first_sequence or 0))
    checkpoints = _checkpoints(session, block) if block.stage < LAST_STAGE else set()
    ids = [
        row.id
        for row, stay in zip(rows, stays, strict=True)
        if not stay and row.thinned == WHOLE and row.id in among and row.id not in checkpoints
    ]
    for first in range(0, len(ids), AT_ONCE):
        chosen = Snapshot.id.in_(ids[first : first + AT_ONCE])
        session.execute(update(Snapshot).where(chosen).values(thinned=GOING))
    return len(ids)


def going(session: Session, block: Block, *, most: int) -> list[Snapshot]:
    """Some of the marked snapshots of a block whose rows and blobs are still to go."""
    query = select(Snapshot).where(_in(block), Snapshot.thinned == GOING)
    return list(session.scalars(query.order_by(Snapshot.sequence).limit(most)))


def blobs_of(session: Session, snapshots: Sequence[Snapshot]) -> list[str]:
    """Keys of the blobs of some snapshots."""
    rows = session.execute(
        select(StoredPart.blob_key, StoredPart.stale_key).where(
            StoredPart.snapshot_id.in_([one.id for one in snapshots])
        )
    )
    return [key for row in rows for key in row if key]


def forget(session: Session, snapshots: Sequence[Snapshot]) -> None:
    """Deletes the rows of some snapshots of one attempt, whose blobs are gone; receipts stay.

    The first and the last row of a piece of a fused tensor, and the first and the last spectrum of
    a matrix, stay: what comes is compared with them.
    """
    ids, steps = [one.id for one in snapshots], [one.step for one in snapshots]
    attempt_id = snapshots[0].attempt_id
    pieces = (
        select(Tensor.id)
        .join(Attempt, Attempt.run_id == Tensor.run_id)
        .where(Attempt.id == attempt_id, Tensor.piece_of.is_not(None))
    )
    rows, other = TENSOR_STATS, TENSOR_STATS.alias()
    own = (rows.c.attempt_id == attempt_id) & rows.c.step.in_(steps)
    session.execute(delete(rows).where(own, rows.c.tensor_id.not_in(pieces)))
    same = (other.c.tensor_id == rows.c.tensor_id) & (other.c.attempt_id == rows.c.attempt_id)
    for bound in (func.min(other.c.step), func.max(other.c.step)):
        own &= rows.c.step != select(bound).where(same).scalar_subquery()
    session.execute(delete(rows).where(own))
    matrix = aliased(SpectrumRow)
    own = (SpectrumRow.attempt_id == attempt_id) & SpectrumRow.step.in_(steps)
    same = (matrix.tensor_id == SpectrumRow.tensor_id) & (matrix.attempt_id == attempt_id)
    for bound in (func.min(matrix.step), func.max(matrix.step)):
        own &= SpectrumRow.step != select(bound).where(same).scalar_subquery()
    options = {"synchronize_session": False}
    session.execute(delete(SpectrumRow).where(own), execution_options=options)
    session.execute(
        delete(ProfileValue).where(
            ProfileValue.attempt_id == attempt_id, ProfileValue.step.in_(steps)
        ),
        execution_options=options,
    )
    session.execute(
        update(StoredPart)
        .where(StoredPart.snapshot_id.in_(ids))
        .values(blob_bytes=0, stale_key=None, stale_bytes=None)
    )
    session.execute(update(Snapshot).where(Snapshot.id.in_(ids)).values(thinned=GONE))


def forget_superseded(session: Session, block: Block, statistics: Sequence[str]) -> None:
    """Deletes the shorter extremes of some statistics: the block's own tell of them from now on."""
    forget_kept(
        session,
        block.attempt_id,
        statistics,
        below=block.stage,
        start=block.start,
        end=block.end,
    )
    for level in range(1, block.stage):
        length = BINS * span(level)
        session.execute(
            delete(ExtremesRow).where(
                ExtremesRow.attempt_id == block.attempt_id,
                ExtremesRow.level == level,
                ExtremesRow.statistic.in_(statistics),
                ExtremesRow.block >= block.start // length,
                ExtremesRow.block < block.end // length,
            )
        )


def _in(block: Block) -> ColumnElement[bool]:
    return (
        (Snapshot.attempt_id == block.attempt_id)
        & (Snapshot.sequence >= block.start)
        & (Snapshot.sequence < block.end)
    )


def _checkpoints(session: Session, block: Block) -> set[int]:
    """Ids of the block's snapshots at which the run saved a checkpoint."""
    query = (
        select(StoredMark.snapshot_id)
        .join(Snapshot, Snapshot.id == StoredMark.snapshot_id)
        .where(_in(block), StoredMark.kind == CHECKPOINT)
    )
    return set(session.scalars(query))
