"""The blocks in which a past is thinned: which is due, which is under way, how far it has come.

A block is eight bins of one stage: 64, 512 or 4,096 snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.store.kept_extremes import BINS, STAGES, span
from bifurk_service.store.models import Attempt, DetectorState, Snapshot, Thinning
from bifurk_service.store.runs import CLIENT
from bifurk_service.store.state_pieces import forget_unnamed
from bifurk_service.store.states import SavedState, saved_in

LAST_WHOLE: Final = 128
"""Snapshots before the detectors' saved memory that are never thinned: alerts begin there."""


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
