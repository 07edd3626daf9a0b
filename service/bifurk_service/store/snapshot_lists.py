"""Lists over a run's snapshots: a page of them, what they marked, the steps that are measured."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Select, and_, false, or_, select, true
from sqlalchemy.orm import Session

from bifurk_service.store.models import Attempt, Snapshot, StoredMark
from bifurk_service.store.timeline import timeline


def list_snapshots(
    session: Session, run_id: int, *, after_id: int, limit: int
) -> list[tuple[Snapshot, str]]:
    """A run's snapshots as they came in, each with its attempt's slug."""
    found: list[tuple[Snapshot, str]] = []
    # An attempt after the other: each is a range of an index, and the rest of it stays unread.
    for attempt_id, slug in session.execute(
        select(Attempt.id, Attempt.slug).where(Attempt.run_id == run_id)
    ).all():
        query = (
            select(Snapshot)
            .where(Snapshot.attempt_id == attempt_id, Snapshot.id > after_id)
            .order_by(Snapshot.id)
            .limit(limit)
        )
        found.extend((snapshot, slug) for snapshot in session.scalars(query))
    return sorted(found, key=lambda one: one[0].id)[:limit]


def list_marks(session: Session, run_id: int) -> list[StoredMark]:
    """Everything a run has marked, by step."""
    found = [
        mark
        for query, *_ in _marks_by_attempt(session, run_id)
        for mark in session.scalars(query).all()
    ]
    return sorted(found, key=lambda mark: (mark.step, mark.id))


def marks_near(
    session: Session, run_id: int, step: int, *, most: int, without: str
) -> list[StoredMark]:
    """What a run has marked around a step, by step, without one kind.

    Args:
        most: of each attempt at most so many on each side.
    """
    found: list[StoredMark] = []
    place = StoredMark.snapshot_id
    for query, attempt_id, first, last in _marks_by_attempt(session, run_id):
        own = Snapshot.attempt_id == attempt_id
        behind = select(Snapshot.id).where(own, Snapshot.step >= step).order_by(Snapshot.step)
        middle = session.scalar(behind.limit(1)) or last + 1
        wanted = query.where(StoredMark.kind != without).limit(most)
        before = wanted.where(place.between(first, middle - 1)).order_by(place.desc())
        after = wanted.where(place.between(middle, last)).order_by(place)
        for one in (before, after):
            found.extend(session.scalars(one))
    return sorted(found, key=lambda mark: (mark.step, mark.id))


def _marks_by_attempt(
    session: Session, run_id: int
) -> Iterator[tuple[Select[StoredMark], int, int, int]]:
    """For each attempt a query of its marks, its id, and its first and last snapshots' ids."""
    owner = select(Snapshot.attempt_id).where(Snapshot.id == StoredMark.snapshot_id)
    for attempt_id in session.scalars(select(Attempt.id).where(Attempt.run_id == run_id)).all():
        own = select(Snapshot.id).where(Snapshot.attempt_id == attempt_id).limit(1)
        first, last = (
            session.scalar(own.order_by(order)) for order in (Snapshot.id, Snapshot.id.desc())
        )
        if first is not None and last is not None:
            # Among the marks between them, of which there are few: each knows its snapshot.
            between = StoredMark.snapshot_id.between(first, last)
            query = select(StoredMark).where(between, owner.scalar_subquery() == attempt_id)
            yield query, attempt_id, first, last


def measured_steps(session: Session, run_id: int, attempt: str | None = None) -> list[int]:
    """Steps of a run's course, or of one attempt, with a measured snapshot, ascending.

    Of what is thinned those that were left whole.
    Where a later attempt took over, what an earlier one had measured beyond does not count.
    """
    course = [
        and_(
            Snapshot.attempt_id == stretch.attempt_id,
            true() if stretch.end is None else Snapshot.step < stretch.end,
        )
        for stretch in timeline(session, run_id, attempt)
    ]
    query = (
        select(Snapshot.step)
        .where(or_(false(), *course), Snapshot.measured_at.is_not(None), Snapshot.thinned == 0)
        .distinct()
        .order_by(Snapshot.step)
    )
    return list(session.scalars(query))
