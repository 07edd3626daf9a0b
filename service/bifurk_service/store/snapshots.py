"""Snapshots on their way: received, measured, judged; the durable queue of the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import Select, bindparam, select, union_all, update
from sqlalchemy.orm import Session, aliased

from bifurk_service.domain import AttemptState, Clock, Mark
from bifurk_service.store.directives import is_pinned
from bifurk_service.store.events import append_event
from bifurk_service.store.models import Attempt, Snapshot, StoredMark, StoredPart

RECEIVED, MEASURED, JUDGED, LATE, FAILED = "received", "measured", "judged", "late", "failed"
WAITING = (RECEIVED, MEASURED)
"""States in which a snapshot is not yet where it stays."""

_WITH_ATTEMPT: Final = (
    select(Snapshot, Attempt)
    .join(Attempt, Attempt.id == Snapshot.attempt_id)
    .where(Snapshot.id == bindparam("snapshot"))
)
_OWN: Final = Snapshot.attempt_id == bindparam("attempt")
_BEFORE: Final = (_OWN, Snapshot.sequence < bindparam("sequence"), Snapshot.off_grid.is_(False))
_WAITING: Final = select(Snapshot).from_statement(
    # One state after the other: each is a range of the index, and a long run stays unread.
    union_all(
        *(
            select(
                select(Snapshot)
                .where(_OWN, Snapshot.state == state)
                .order_by(Snapshot.sequence)
                .limit(bindparam("most"))
                .subquery()
            )
            for state in WAITING
        )
    )
)
_WITH_BLOBS: Final = select(Snapshot).where(*_BEFORE, Snapshot.thinned == 0)
_LAST: Final = _WITH_BLOBS.order_by(Snapshot.sequence.desc()).limit(1)
_LAST_OF_ALL: Final = _LAST.where(Snapshot.state != FAILED)
_LAST_IN_TIME: Final = _LAST.where(Snapshot.state.not_in((FAILED, LATE)))
_BASE: Final = _WITH_BLOBS.where(Snapshot.sequence == bindparam("base"))
_LAST_JUDGED: Final = (
    select(Snapshot.step)
    .where(*_BEFORE, Snapshot.state == JUDGED)
    .order_by(Snapshot.sequence.desc())
    .limit(1)
)
_GIVEN_UP: Final = select(Snapshot.sequence).where(
    _OWN, Snapshot.state == FAILED, Snapshot.sequence > bindparam("sequence")
)
_RECEIVED_BEFORE: Final = (
    select(Snapshot.sequence)
    .join(Attempt, Attempt.id == Snapshot.attempt_id)
    .where(
        _OWN,
        Snapshot.state == RECEIVED,
        Snapshot.sequence < bindparam("sequence"),
        Snapshot.sequence > Attempt.cursor,
    )
)
_PARTS: Final = (
    select(StoredPart)
    .where(StoredPart.snapshot_id.in_(bindparam("snapshots", expanding=True)))
    .order_by(StoredPart.rank)
)
_MARKS: Final = (
    select(StoredMark)
    .where(StoredMark.snapshot_id == bindparam("snapshot"))
    .order_by(StoredMark.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleBlob:
    """A blob that a stripped one has replaced and nothing is measured against any more."""

    attempt_id: int
    part_id: int
    key: str


def with_attempt(session: Session, snapshot_id: int) -> tuple[Snapshot, Attempt] | None:
    """A snapshot and its attempt; None where it is no more."""
    row = session.execute(_WITH_ATTEMPT, {"snapshot": snapshot_id}).one_or_none()
    return None if row is None else (row[0], row[1])


def waiting_snapshots(session: Session, attempt_id: int, *, limit: int) -> list[Snapshot]:
    """An attempt's snapshots that are received or measured, by sequence."""
    found = session.scalars(_WAITING, {"attempt": attempt_id, "most": limit})
    return sorted(found, key=lambda snapshot: snapshot.sequence)[:limit]


def has_base(attempt: Attempt, snapshot: Snapshot) -> bool:
    """Whether it is settled which snapshot of its attempt motion is measured from."""
    return attempt.first_sequence is not None or snapshot.off_grid


def make_base(session: Session, snapshot: Snapshot) -> None:
    """Has motion measured from this snapshot, the first of its attempt that is handed out.

    For good: one that comes late, or fails later, must not move the base of a series.
    """
    attempt = session.get_one(Attempt, snapshot.attempt_id)
    if not has_base(attempt, snapshot):
        attempt.first_sequence = snapshot.sequence


def neighbours(session: Session, snapshot: Snapshot) -> tuple[Snapshot | None, Snapshot | None]:
    """The snapshots that motion is measured against: the one before, and the attempt's base."""
    attempt = session.get_one(Attempt, snapshot.attempt_id)
    comes_late = snapshot.sequence <= attempt.cursor
    before = {"attempt": attempt.id, "sequence": snapshot.sequence}
    previous = session.scalar(_LAST_OF_ALL if comes_late else _LAST_IN_TIME, before)
    if attempt.first_sequence is None:
        return previous, None
    return previous, session.scalar(_BASE, {**before, "base": attempt.first_sequence})


def parts_of(session: Session, snapshot_id: int) -> list[StoredPart]:
    """A snapshot's parts by rank."""
    return parts_by_snapshot(session, [snapshot_id])[snapshot_id]


def parts_by_snapshot(session: Session, snapshot_ids: Sequence[int]) -> dict[int, list[StoredPart]]:
    """The parts of some snapshots, by rank."""
    found: dict[int, list[StoredPart]] = {snapshot_id: [] for snapshot_id in snapshot_ids}
    for part in session.scalars(_PARTS, {"snapshots": snapshot_ids}):
        found[part.snapshot_id].append(part)
    return found


def received_before(session: Session, snapshot: Snapshot) -> list[int]:
    """Sequences of the attempt's snapshots before this one that are still to be measured in turn.

    One behind the cursor has missed its turn.
    """
    before = {"attempt": snapshot.attempt_id, "sequence": snapshot.sequence}
    return list(session.scalars(_RECEIVED_BEFORE, before))


def finish_snapshot(session: Session, snapshot: Snapshot, state: str, *, now: float) -> None:
    """Moves a snapshot to where it stays: judged, late or failed; the stream hears of it."""
    snapshot.state = state
    snapshot.judged_at = now
    append_event(
        session,
        run_id=session.get_one(Attempt, snapshot.attempt_id).run_id,
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
    before = {"attempt": snapshot.attempt_id, "sequence": snapshot.sequence}
    previous = session.scalar(_LAST_JUDGED, before)
    marks = session.scalars(_MARKS, {"snapshot": snapshot.id})
    return Clock(
        sequence=snapshot.sequence,
        step=snapshot.step,
        previous_step=previous,
        learning_rates=tuple(float("nan") if r is None else r for r in snapshot.learning_rates),
        marks=tuple(Mark(kind=m.kind, step=m.step, details=m.details) for m in marks),
    )


def absent_sequences(session: Session, attempt: Attempt) -> Iterator[tuple[int, int]]:
    """Closed ranges of an attempt's sequences that will never come, read as they are asked for."""
    yield from ((first, last) for first, last in attempt.lost_sequences)
    for sequence in failed_sequences(session, attempt):
        yield sequence, sequence


def failed_sequences(session: Session, attempt: Attempt) -> list[int]:
    """Sequences beyond an attempt's cursor that were given up."""
    return list(session.scalars(_GIVEN_UP, {"attempt": attempt.id, "sequence": attempt.cursor}))


def stripped_key(key: str, fence: int) -> str:
    """Where a part lies without its full values; no two holders of its attempt write one place."""
    return f"{key}.{fence}.stripped"


def keep_stripped(
    session: Session, snapshot: Snapshot, sizes: Mapping[str, int], *, fence: int
) -> None:
    """Points parts to their blobs without full values; the old ones are deleted later.

    Args:
        session: to write with. snapshot: the one measured.
        sizes: bytes of the new blob, by the key of the old one. fence: of who has written it.
    """
    for part in parts_of(session, snapshot.id) if sizes else ():
        size = sizes.get(part.blob_key)
        if size is not None:
            part.stale_key, part.stale_encoding = part.blob_key, part.encoding
            part.stale_bytes = part.blob_bytes
            part.blob_key = stripped_key(part.blob_key, fence)
            part.blob_bytes = size
            part.encoding = "zstd"


def stale_blobs(session: Session, attempt_ids: Collection[int] | None = None) -> list[StaleBlob]:
    """Blobs to delete, of these attempts or of all.

    The full values of a snapshot stay until the next one of its attempt is measured against them
    and judged, for an alert may want to keep them, or, once the attempt has ended, until nothing of
    it waits; those of a pinned one stay.
    """
    # Chosen here: a query for these attempts would look through all their snapshots.
    return [
        StaleBlob(attempt_id=attempt_id, part_id=part_id, key=key)
        for attempt_id, part_id, key in session.execute(_stale())
        if key is not None and (attempt_ids is None or attempt_id in attempt_ids)
    ]


@cache
def _stale() -> Select[int, int, str | None]:
    later = aliased(Snapshot)
    state_of_successor = (
        select(later.state)
        .where(
            later.attempt_id == Snapshot.attempt_id,
            later.sequence > Snapshot.sequence,
            later.off_grid.is_(False),
            later.state.not_in((FAILED, LATE)),
        )
        .order_by(later.sequence)
        .limit(1)
        .scalar_subquery()
    )
    succeeded = state_of_successor == JUDGED
    waited_for = (
        select(later.id)
        .where(later.attempt_id == Snapshot.attempt_id, later.state == RECEIVED)
        .exists()
    )
    ended = (Attempt.state != AttemptState.RUNNING.value) & ~waited_for
    return (
        select(Snapshot.attempt_id, StoredPart.id, StoredPart.stale_key)
        .join(Snapshot, StoredPart.snapshot_id == Snapshot.id)
        .join(Attempt, Snapshot.attempt_id == Attempt.id)
        .where(
            StoredPart.stale_key.is_not(None),
            succeeded | ended | Snapshot.off_grid,
            ~is_pinned(),
        )
    )


def forget_stale_blobs(session: Session, part_ids: Sequence[int]) -> None:
    """Says that these parts' stale blobs are gone."""
    session.execute(
        update(StoredPart)
        .where(StoredPart.id.in_(part_ids))
        .values(stale_key=None, stale_bytes=None)
    )


def known_blobs(session: Session, keys: Collection[str]) -> set[str]:
    """Which of some keys of blobs parts refer to."""
    columns = (StoredPart.blob_key, StoredPart.stale_key)
    return {
        key
        for column in columns
        for key in session.scalars(select(column).where(column.in_(keys)))
        if key is not None
    }
