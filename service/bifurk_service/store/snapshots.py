"""Snapshots on their way: received, measured, judged; the durable queue of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bifurk_service.domain import Clock, Mark
from bifurk_service.store.events import append_event
from bifurk_service.store.models import Attempt, Snapshot, StoredMark, StoredPart

RECEIVED, MEASURED, JUDGED, LATE, FAILED = "received", "measured", "judged", "late", "failed"
STRIPPED_SUFFIX = ".stripped"
"""What the key of a part without its full values ends in."""


def waiting_attempts(session: Session) -> list[int]:
    """Ids of attempts with a snapshot that is not yet judged, late or failed."""
    return list(
        session.scalars(
            select(Snapshot.attempt_id).where(Snapshot.state.in_((RECEIVED, MEASURED))).distinct()
        )
    )


def waiting_snapshots(session: Session, attempt_id: int, *, limit: int) -> list[Snapshot]:
    """An attempt's snapshots that are received or measured, by sequence."""
    return list(
        session.scalars(
            select(Snapshot)
            .where(Snapshot.attempt_id == attempt_id, Snapshot.state.in_((RECEIVED, MEASURED)))
            .order_by(Snapshot.sequence)
            .limit(limit)
        )
    )


def neighbours(session: Session, snapshot: Snapshot) -> tuple[Snapshot | None, Snapshot | None]:
    """The snapshot before this one, and the attempt's first; on the grid, not failed."""
    others = (
        select(Snapshot)
        .where(
            Snapshot.attempt_id == snapshot.attempt_id,
            Snapshot.sequence < snapshot.sequence,
            Snapshot.state != FAILED,
            Snapshot.off_grid.is_(False),
        )
        .limit(1)
    )
    previous = session.scalar(others.order_by(Snapshot.sequence.desc()))
    return previous, session.scalar(others.order_by(Snapshot.sequence))


def parts_of(session: Session, snapshot_id: int) -> list[StoredPart]:
    """A snapshot's parts by rank."""
    return list(
        session.scalars(
            select(StoredPart)
            .where(StoredPart.snapshot_id == snapshot_id)
            .order_by(StoredPart.rank)
        )
    )


def finish_snapshot(session: Session, snapshot: Snapshot, state: str, *, now: float) -> None:
    """Moves a snapshot to where it stays: judged, late or failed; the stream hears of it."""
    snapshot.state = state
    snapshot.judged_at = now
    run_id = session.scalars(select(Attempt.run_id).where(Attempt.id == snapshot.attempt_id)).one()
    append_event(
        session,
        run_id=run_id,
        kind="snapshot",
        now=now,
        data={"step": snapshot.step, "sequence": snapshot.sequence, "state": state},
    )


def judged_snapshots(session: Session, attempt_id: int, *, after: int) -> list[Snapshot]:
    """An attempt's judged snapshots on the grid beyond a sequence, in order."""
    return list(
        session.scalars(
            select(Snapshot)
            .where(
                Snapshot.attempt_id == attempt_id,
                Snapshot.state == JUDGED,
                Snapshot.off_grid.is_(False),
                Snapshot.sequence > after,
            )
            .order_by(Snapshot.sequence)
        )
    )


def clock_of(session: Session, snapshot: Snapshot) -> Clock:
    """The detectors' clock at a snapshot."""
    previous = session.scalar(
        select(Snapshot.step)
        .where(
            Snapshot.attempt_id == snapshot.attempt_id,
            Snapshot.state == JUDGED,
            Snapshot.off_grid.is_(False),
            Snapshot.sequence < snapshot.sequence,
        )
        .order_by(Snapshot.sequence.desc())
        .limit(1)
    )
    marks = session.scalars(
        select(StoredMark).where(StoredMark.snapshot_id == snapshot.id).order_by(StoredMark.id)
    )
    return Clock(
        sequence=snapshot.sequence,
        step=snapshot.step,
        previous_step=previous,
        learning_rates=tuple(float("nan") if r is None else r for r in snapshot.learning_rates),
        marks=tuple(Mark(kind=m.kind, step=m.step, details=m.details) for m in marks),
    )


def snapshot_counts(session: Session, run_id: int) -> dict[str, int]:
    """Number of a run's snapshots by state."""
    rows = session.execute(
        select(Snapshot.state, func.count())
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(Attempt.run_id == run_id)
        .group_by(Snapshot.state)
    )
    return {RECEIVED: 0, MEASURED: 0, JUDGED: 0, LATE: 0, FAILED: 0, **dict(rows.all())}


def failed_sequences(session: Session, attempt: Attempt) -> list[int]:
    """Sequences beyond an attempt's cursor that were given up."""
    return list(
        session.scalars(
            select(Snapshot.sequence).where(
                Snapshot.attempt_id == attempt.id,
                Snapshot.state == FAILED,
                Snapshot.sequence > attempt.cursor,
            )
        )
    )


def keep_stripped(session: Session, snapshot: Snapshot, sizes: Sequence[int | None]) -> None:
    """Points parts to their blobs without full values; the old ones are deleted later."""
    for part, size in zip(parts_of(session, snapshot.id), sizes, strict=True):
        if size is not None:
            part.stale_key = part.blob_key
            part.blob_key = f"{part.blob_key}{STRIPPED_SUFFIX}"
            part.blob_bytes = size
            part.encoding = "zstd"


def stale_blobs(session: Session) -> list[tuple[int, str]]:
    """Parts with a blob to delete: part id and key."""
    rows = session.execute(
        select(StoredPart.id, StoredPart.stale_key).where(StoredPart.stale_key.is_not(None))
    )
    return [(part_id, key) for part_id, key in rows if key is not None]


def forget_stale_blobs(session: Session, part_ids: Sequence[int]) -> None:
    """Says that these parts' stale blobs are gone."""
    session.execute(update(StoredPart).where(StoredPart.id.in_(part_ids)).values(stale_key=None))
