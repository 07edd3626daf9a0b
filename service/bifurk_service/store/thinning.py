"""Thinning a run's past, a block at a time: what goes, what stays, and how far it has come.

A block is eight bins of one stage: 64, 512 or 4,096 snapshots. Of its snapshots one in 8, 64 or 512
stays whole, and what is pinned; of the others the extremes are written first, then they are marked,
then their rows and blobs go. Whatever a crash interrupts is done again and comes to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement, delete, func, literal_column, select, update
from sqlalchemy.orm import Session, aliased

from bifurk_service.store.kept_extremes import BINS, STAGES, forget_kept, span
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    DetectorState,
    ExtremesRow,
    ProfileValue,
    Snapshot,
    SpectrumRow,
    StoredMark,
    StoredPart,
    Tensor,
    Thinning,
)
from bifurk_service.store.pins import AROUND, kept_whole
from bifurk_service.store.runs import CLIENT
from bifurk_service.store.snapshots import FAILED, JUDGED, LATE
from bifurk_service.store.state_pieces import forget_unnamed
from bifurk_service.store.states import SavedState, saved_in

WHOLE, GOING, GONE = 0, 1, 2
"""Values of ``Snapshot.thinned``."""
LAST_WHOLE: Final = 128
"""Snapshots before the detectors' saved memory that are never thinned: alerts begin there."""
CHECKPOINT: Final = "checkpoint"
LAST_STAGE: Final = STAGES[-1]
AT_ONCE: Final = 500
"""Ids that one statement names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Sequences [start, end) of an attempt, and the stage that is due to them."""

    attempt_id: int
    stage: int
    start: int

    @property
    def end(self) -> int:
        """The first sequence behind it."""
        return self.start + BINS * span(self.stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinnedSteps:
    """The first and the last step that is thinned."""

    first: int
    last: int


def unfinished_block(session: Session, run_id: int) -> Block | None:
    """What was under way when a process ended."""
    rows = session.execute(
        select(Thinning.attempt_id, Thinning.stage, Thinning.block)
        .join(Attempt, Attempt.id == Thinning.attempt_id)
        .where(Attempt.run_id == run_id)
        .order_by(Thinning.attempt_id)
    )
    for attempt_id, stage, start in rows:
        if stage is not None and start is not None:
            return Block(attempt_id=attempt_id, stage=stage, start=start)
    return None


def next_block(session: Session, run_id: int) -> Block | None:
    """The oldest block of the earliest stage that has one; None where no more may be thinned."""
    attempts = session.scalars(
        select(Attempt)
        .where(Attempt.run_id == run_id, Attempt.source == CLIENT)
        .order_by(Attempt.id)
    ).all()
    for stage in STAGES:
        for attempt in attempts:
            if (block := _next_of(session, attempt, stage)) is not None:
                return block
    return None


def begin_block(session: Session, block: Block) -> bool:
    """Notes that a block is under way, and the memory that replays begin with behind it.

    Returns:
        Whether it is still to be done: another process that took over may have.
    """
    memory = session.get_one(DetectorState, block.attempt_id)
    stored = session.get(Thinning, block.attempt_id)
    if stored is not None and stored.reached[block.stage - 1] >= block.end:
        return False
    if stored is None:
        stored = Thinning(attempt_id=block.attempt_id, reached=[0] * len(STAGES), sequence=-1)
        session.add(stored)
    stored.stage, stored.block = block.stage, block.start
    if stored.sequence < block.end - 1:
        stored.definition, stored.sequence = memory.definition, memory.sequence
        stored.state, stored.pieces = memory.state, memory.pieces
        forget_unnamed(session, block.attempt_id)
    return True


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


def end_block(session: Session, block: Block) -> None:
    """Notes that a block is done."""
    stored = session.get_one(Thinning, block.attempt_id)
    reached = list(stored.reached)
    if reached[block.stage - 1] >= block.end:
        return  # another process that took over has done it
    reached[block.stage - 1] = block.end
    stored.reached, stored.stage, stored.block = reached, None, None


def memory_behind(session: Session, attempt_id: int) -> SavedState | None:
    """The detectors' memory behind which an attempt is whole; None where all of it is."""
    stored = session.get(Thinning, attempt_id)
    return None if stored is None else saved_in(stored)


def thinned_steps(
    session: Session,
    attempt_id: int,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> ThinnedSteps | None:
    """An attempt's thinned steps between two, both included; None without any."""
    # As the index of what is thinned has it: a bound value would not be known to be the same.
    query = select(Snapshot.step).where(
        Snapshot.attempt_id == attempt_id, Snapshot.thinned != literal_column(str(WHOLE))
    )
    if first_step is not None:
        query = query.where(Snapshot.step >= first_step)
    if last_step is not None:
        query = query.where(Snapshot.step <= last_step)
    first = session.scalar(query.order_by(Snapshot.step).limit(1))
    last = session.scalar(query.order_by(Snapshot.step.desc()).limit(1))
    return None if first is None or last is None else ThinnedSteps(first=first, last=last)


def _next_of(session: Session, attempt: Attempt, stage: int) -> Block | None:
    stored = session.get(Thinning, attempt.id)
    reached = stored.reached if stored is not None else [0] * len(STAGES)
    length = BINS * span(stage)
    # The memory of the detectors lags behind the cursor; what follows it is replayed.
    memory = session.scalar(
        select(DetectorState.sequence).where(DetectorState.attempt_id == attempt.id)
    )
    if memory is None:
        return None
    until = min(memory + 1 - LAST_WHOLE, attempt.condensed)
    if stage > STAGES[0]:
        until = min(until, reached[stage - 2])
    following = session.scalar(
        select(func.min(Snapshot.sequence)).where(
            Snapshot.attempt_id == attempt.id,
            Snapshot.sequence >= reached[stage - 1],
            Snapshot.measured_at.is_not(None),
        )
    )
    if following is None:
        return None
    start = max(reached[stage - 1], following - following % length)
    block = Block(attempt_id=attempt.id, stage=stage, start=start)
    return block if block.end <= until else None


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
