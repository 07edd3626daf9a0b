"""Attempts of one run that live at the same time, though a run has one course."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Final

from sqlalchemy import ScalarSelect, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bifurk_service.domain import AttemptState
from bifurk_service.store.models import Attempt, Snapshot


def live_together(session: Session, run_id: int) -> list[Attempt]:
    """The running attempts of a run of which several train at once, oldest first; else none.

    An attempt that crashed counts as running until it is found silent: see ``trained_beside``.
    """
    rows = session.execute(_RUNNING, {"run": run_id})
    training = [row for row in rows if row[1] is not None]
    firsts = [first for _, first, _ in training]
    lasts = [last for _, _, last in training]
    newest_before = accumulate(lasts, max, initial=-math.inf)
    first_after = [*accumulate(reversed(firsts), min, initial=math.inf)][-2::-1]
    return [
        attempt
        for (attempt, first, last), before, after in zip(
            training, newest_before, first_after, strict=False
        )
        if before > first or last > after
    ]


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
    query = select(_taken(earlier_id, newest=True), _taken(later_id))
    last, first = session.execute(query).one()
    return last is not None and first is not None and last > first


def _taken(
    attempt_id: int | InstrumentedAttribute[int], *, newest: bool = False
) -> ScalarSelect[float]:
    """When an attempt's first or newest snapshot was taken, seconds since 1970."""
    order = Snapshot.sequence.desc() if newest else Snapshot.sequence
    own = select(Snapshot.wall_clock).where(Snapshot.attempt_id == attempt_id)
    return own.order_by(order).limit(1).scalar_subquery()


_RUNNING: Final = (
    select(Attempt, _taken(Attempt.id), _taken(Attempt.id, newest=True))
    .where(Attempt.run_id == bindparam("run"), Attempt.state == AttemptState.RUNNING.value)
    .order_by(Attempt.id)
)
"""A run's running attempts, with when their first and newest snapshots were taken."""
