"""What became of snapshots, as their rows tell it, and what the database has grown by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from sqlalchemy import func, select

from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    DetectorPiece,
    Run,
    Snapshot,
    StoredPart,
)

FRAME_HEADER: Final = 18
"""Bytes at most, of zstd's frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Medians, in seconds, of some snapshots: each from its receipt."""

    measured: float
    judged: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many snapshots are in which state, and what is stored."""

    received: int
    judged: int
    waiting: int
    failed: int
    rows: int
    database_bytes: int
    blob_bytes: int
    state_bytes: int


def ids_of(database: Database, run: str) -> tuple[int, int]:
    """Of a run and of its one attempt; PostgreSQL leaves numbers out now and then."""
    with database.read() as session:
        found = session.execute(
            select(Run.id, Attempt.id)
            .join(Attempt, Attempt.run_id == Run.id)
            .where(Run.slug == run)
        ).one()
    return found[0], found[1]


def delays(database: Database, run: str, sequences: Sequence[int]) -> Delays:
    """Of these snapshots of a run, all judged."""
    with database.read() as session:
        rows = session.execute(
            select(Snapshot.received_at, Snapshot.measured_at, Snapshot.judged_at)
            .join(Attempt, Attempt.id == Snapshot.attempt_id)
            .join(Run, Run.id == Attempt.run_id)
            .where(Run.slug == run, Snapshot.sequence.in_(list(sequences)))
        ).all()
    times = np.array([tuple(row) for row in rows], dtype=np.float64)
    found = np.median(times[:, 1:] - times[:, :1], axis=0)
    return Delays(measured=float(found[0]), judged=float(found[1]))


def counted(database: Database) -> Counted:
    """Everything that is there now."""
    with database.read() as session:
        states = dict(
            session.execute(select(Snapshot.state, func.count()).group_by(Snapshot.state)).all()
        )
        rows = session.scalar(select(func.count()).select_from(TENSOR_STATS)) or 0
        blobs = session.scalar(select(func.sum(StoredPart.blob_bytes))) or 0
        kept = _held(session)
    return Counted(
        received=sum(states.values()),
        judged=states.get("judged", 0),
        waiting=states.get("received", 0) + states.get("measured", 0),
        failed=states.get("failed", 0),
        rows=int(rows),
        database_bytes=database.size_bytes(),
        blob_bytes=int(blobs),
        state_bytes=kept,
    )


def _held(session: Session) -> int:
    """Bytes of the largest memory of detectors as they hold it: pieces say what they unpack to."""
    heads = select(DetectorPiece.attempt_id, func.substr(DetectorPiece.data, 1, FRAME_HEADER))
    held: Counter[int] = Counter()
    for attempt_id, head in session.execute(heads):
        held[attempt_id] += zstandard.frame_content_size(head)
    return max(held.values(), default=0)
