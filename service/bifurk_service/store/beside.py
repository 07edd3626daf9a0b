"""Attempts of one run that live at the same time, though a run has one course."""

from __future__ import annotations

from itertools import combinations

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.domain import AttemptState
from bifurk_service.store.models import Attempt, Snapshot


def live_together(session: Session, run_id: int) -> list[Attempt]:
    """The running attempts of a run of which several train at once, oldest first; else none.

    An attempt that crashed counts as running until it is found silent: see ``trained_beside``.
    """
    query = (
        select(Attempt)
        .where(Attempt.run_id == run_id, Attempt.state == AttemptState.RUNNING.value)
        .order_by(Attempt.id)
    )
    running = list(session.scalars(query))
    together = {
        attempt_id
        for earlier, later in combinations(running, 2)
        if trained_beside(session, earlier.id, later.id)
        for attempt_id in (earlier.id, later.id)
    }
    return [attempt for attempt in running if attempt.id in together]


def beside(session: Session, attempt: Attempt) -> list[str]:
    """Names of the other attempts that train at the same time as this one."""
    together = live_together(session, attempt.run_id)
    if attempt.id not in {one.id for one in together}:
        return []
    return [one.slug for one in together if one.id != attempt.id]


def trained_beside(session: Session, earlier_id: int, later_id: int) -> bool:
    """Whether an attempt still took snapshots when a later one of the run had taken its first.

    By the trainings' own clocks: what a crash left is sent after its successor has begun.
    """
    last = _taken(session, earlier_id, newest=True)
    first = _taken(session, later_id, newest=False)
    return last is not None and first is not None and last > first


def _taken(session: Session, attempt_id: int, *, newest: bool) -> float | None:
    """When an attempt's first or newest snapshot was taken, seconds since 1970."""
    order = Snapshot.sequence.desc() if newest else Snapshot.sequence
    own = select(Snapshot.wall_clock).where(Snapshot.attempt_id == attempt_id)
    return session.scalar(own.order_by(order).limit(1))
