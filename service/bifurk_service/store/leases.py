"""Who may move which attempt on: processes that run the pipeline, and what each of them holds.

All times are the database's own: clocks of machines differ. A process counts as running until its
row runs out; it is then deleted, and a process that finds its row gone holds nothing any more. What
one holds is written with a fence, a number that grows with every taking; ``check_held`` in the
transaction of a change makes the change come from the one holder there is, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bifurk_service.store.dialects import is_sqlite, now
from bifurk_service.store.models import Attempt, AttemptLease, RunningPipeline, Snapshot
from bifurk_service.store.snapshots import WAITING

FOREVER: Final = 1e18
"""Seconds since 1970 UTC that do not come: of a process that is alone."""

_HELD: Final = (
    select(AttemptLease.attempt_id)
    .where(
        AttemptLease.attempt_id == bindparam("attempt_id"),
        AttemptLease.holder == bindparam("holder"),
        AttemptLease.fence == bindparam("fence"),
    )
    .with_for_update()
)


class LeaseLostError(RuntimeError):
    """Another process has taken the attempt meanwhile: what was to be written must not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An attempt in the hands of a process.

    Attributes:
        holder: the number that the process was registered under. fence: of this taking.
    """

    attempt_id: int
    holder: int
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for any pipeline.

    Attributes:
        attempts: those with a snapshot that is not yet judged, late or failed.
        leases: on these, as they are written down, also of processes that run no more.
        free: of these, those that no running process holds.
        capacity: of all running processes together, in snapshots measured at once.
    """

    attempts: tuple[int, ...]
    leases: frozenset[Lease]
    free: tuple[int, ...]
    capacity: int


def register(session: Session, name: str, *, capacity: int, seconds: float | None) -> int:
    """Writes down that a process runs the pipeline; returns its number.

    Numbers grow in the order of registering, so this wants the transaction of one writer.

    Args:
        session: to write with. name: host, process id and a random word.
        capacity: snapshots it measures at once. seconds: until it runs out unless renewed; None:
            it is alone, and whoever is registered is no more.
    """
    at = now(sqlite=is_sqlite(session))
    gone = true() if seconds is None else RunningPipeline.until <= at
    session.execute(delete(RunningPipeline).where(gone))
    process = RunningPipeline(
        name=name, capacity=capacity, until=FOREVER if seconds is None else at + seconds
    )
    session.add(process)
    session.flush()
    return process.id


def renew(session: Session, holder: int, *, seconds: float) -> bool:
    """Says that a process still runs; False where it had run out, and is to register anew.

    Others that ran out are deleted first, so that none of them comes back to life afterwards.
    """
    at = now(sqlite=is_sqlite(session))
    session.execute(
        delete(RunningPipeline).where(RunningPipeline.id != holder, RunningPipeline.until <= at)
    )
    renewed = session.scalars(
        update(RunningPipeline)
        .where(RunningPipeline.id == holder, RunningPipeline.until > at)
        .values(until=at + seconds)
        .returning(RunningPipeline.id)
    )
    return bool(renewed.all())


def retire(session: Session, holder: int) -> None:
    """Forgets a process that stops; what it held is free at once."""
    session.execute(delete(RunningPipeline).where(RunningPipeline.id == holder))


def is_first(session: Session, holder: int) -> bool:
    """Whether a process is the one registered first of those that run: it does the chores."""
    return session.scalar(select(func.min(RunningPipeline.id))) == holder


def what_waits(session: Session) -> Waiting:
    """What waits, what of it is free, and how many hands there are."""
    rows = session.execute(_what_waits(sqlite=is_sqlite(session))).all()
    found = {attempt_id: (holder, fence, free) for attempt_id, holder, fence, free, _ in rows}
    return Waiting(
        attempts=tuple(found),
        leases=frozenset(
            Lease(attempt_id=attempt_id, holder=holder, fence=fence)
            for attempt_id, (holder, fence, _) in found.items()
            if holder is not None
        ),
        free=tuple(attempt_id for attempt_id, (*_, free) in found.items() if free),
        capacity=max((int(capacity or 0) for *_, capacity in rows), default=0),
    )


@cache
def _what_waits(*, sqlite: bool) -> CompoundSelect[Any]:
    capacity = select(func.sum(RunningPipeline.capacity)).where(
        RunningPipeline.until > now(sqlite=sqlite)
    )
    lease = AttemptLease
    columns = (Snapshot.attempt_id, lease.holder, lease.fence, _is_free(sqlite=sqlite))
    # One state after the other: each is a range of the index, and what is judged stays unread.
    return union_all(
        *(
            select(*columns, capacity.scalar_subquery())
            .outerjoin(lease, lease.attempt_id == Snapshot.attempt_id)
            .where(Snapshot.state == state)
            .distinct()
            for state in WAITING
        )
    )


def free_of(session: Session, attempt_ids: Collection[int]) -> list[int]:
    """Those of these attempts that no running process holds."""
    query = (
        select(Attempt.id)
        .outerjoin(AttemptLease, AttemptLease.attempt_id == Attempt.id)
        .where(Attempt.id.in_(attempt_ids), _is_free(sqlite=is_sqlite(session)))
    )
    return list(session.scalars(query))


def take(session: Session, holder: int, attempt_ids: Sequence[int]) -> list[Lease]:
    """Takes those of these attempts that are free now, and that nobody else is taking or deleting.

    Returns:
        The leases of those taken, which may be none.
    """
    there = session.scalars(
        select(Attempt.id)
        .where(Attempt.id.in_(attempt_ids))
        .with_for_update(read=True, key_share=True, skip_locked=True)
    ).all()
    _make_rows(session, there)
    rows = session.scalars(
        select(AttemptLease)
        .where(AttemptLease.attempt_id.in_(there), _is_free(sqlite=is_sqlite(session)))
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.holder, row.fence = holder, row.fence + 1
    session.flush()
    return [Lease(attempt_id=row.attempt_id, holder=holder, fence=row.fence) for row in rows]


def give_back(session: Session, leases: Collection[Lease]) -> None:
    """Frees attempts; one that another has taken meanwhile stays with that."""
    for lease in leases:
        session.execute(update(AttemptLease).where(_is(lease)).values(holder=None))


def still_held(session: Session, leases: Collection[Lease]) -> set[int]:
    """The attempts of those leases that still hold."""
    if not leases:
        return set()
    return set(session.scalars(select(AttemptLease.attempt_id).where(or_(*map(_is, leases)))))


def check_held(session: Session, lease: Lease) -> None:
    """Makes sure that a lease holds until this transaction has ended; before anything is written.

    Raises:
        LeaseLostError: another process has taken the attempt, or it is no more.
    """
    held = session.scalar(_HELD, asdict(lease))
    if held is None:
        raise LeaseLostError(
            f"attempt {lease.attempt_id} is no longer this process's (fence {lease.fence})"
        )


def _make_rows(session: Session, attempt_ids: Sequence[int]) -> None:
    """A row for each that has none; two processes may come to an attempt at once."""
    insert = sqlite.insert if is_sqlite(session) else postgresql.insert
    rows = [{"attempt_id": one, "holder": None, "fence": 0} for one in attempt_ids]
    if rows:
        session.execute(insert(AttemptLease).values(rows).on_conflict_do_nothing())


def _is(lease: Lease) -> ColumnElement[bool]:
    return (
        (AttemptLease.attempt_id == lease.attempt_id)
        & (AttemptLease.holder == lease.holder)
        & (AttemptLease.fence == lease.fence)
    )


def _is_free(*, sqlite: bool) -> ColumnElement[bool]:
    """For a query over leases, also those that are not there: whether no running process has it."""
    running = (
        select(RunningPipeline.id)
        .where(
            RunningPipeline.id == AttemptLease.holder, RunningPipeline.until > now(sqlite=sqlite)
        )
        .exists()
    )
    return ~running
