"""Which steps of a run lie near something, counted in snapshots."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Snapshot
from bifurk_service.store.timeline import Stretch, timeline

Steps: TypeAlias = tuple[int, int]
"""From the first step to the last, both included."""


def steps_near(session: Session, run_id: int, first: int, last: int, *, least: int) -> Steps:
    """Steps from before one to after another, by as many measured snapshots as lie between them.

    Args:
        first, last: steps. least: snapshots on either side, if there are so many.
    """
    stretches = timeline(session, run_id)
    between = sum(_count(session, one, first, last) for one in stretches)
    around = max(least, between)
    before = sorted(step for one in stretches for step in _before(session, one, first, around))
    after = sorted(step for one in stretches for step in _after(session, one, last, around))
    return (
        before[-min(around, len(before))] if before else first,
        after[min(around, len(after)) - 1] if after else last,
    )


def _count(session: Session, stretch: Stretch, first: int, last: int) -> int:
    query = select(func.count()).select_from(Snapshot).where(*_measured(stretch))
    return session.scalar(query.where(Snapshot.step.between(first, last))) or 0


def _before(session: Session, stretch: Stretch, step: int, most: int) -> list[int]:
    query = select(Snapshot.step).where(*_measured(stretch), Snapshot.step < step)
    return list(session.scalars(query.order_by(Snapshot.step.desc()).limit(most)))


def _after(session: Session, stretch: Stretch, step: int, most: int) -> list[int]:
    query = select(Snapshot.step).where(*_measured(stretch), Snapshot.step > step)
    return list(session.scalars(query.order_by(Snapshot.step).limit(most)))


def _measured(stretch: Stretch) -> list[ColumnElement[bool]]:
    own = [Snapshot.attempt_id == stretch.attempt_id, Snapshot.measured_at.is_not(None)]
    return own if stretch.end is None else [*own, Snapshot.step < stretch.end]
