"""Alerts of a stretch that a later attempt of the run went over again: kept, marked, resolved.

Which steps count is the rule of ``store.timeline``: where a later attempt begins, the
earlier ones end. Alerts of an attempt that trains beside the later one stay: somebody waits for
them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from bifurk_service.domain import AlertState
from bifurk_service.store.alert_history import Change, record
from bifurk_service.store.alerts import resolve
from bifurk_service.store.beside import trained_beside
from bifurk_service.store.models import Attempt, Snapshot, StoredAlert

_ALERTED_BEFORE: Final = (
    select(StoredAlert.attempt_id)
    .where(
        StoredAlert.run_id == bindparam("run"),
        StoredAlert.attempt_id < bindparam("attempt"),
        StoredAlert.superseded.is_(False),
    )
    .distinct()
)


def supersede_earlier(session: Session, attempt: Attempt, *, now: float) -> None:
    """Marks what earlier attempts raised at or after this attempt's first step.

    May be called at any time and again: the first step moves down where snapshots arrive late.
    """
    past = [
        one for one in _before(session, attempt) if not trained_beside(session, one, attempt.id)
    ]
    if not past:
        return
    first = session.scalar(select(func.min(Snapshot.step)).where(Snapshot.attempt_id == attempt.id))
    if first is None:
        return
    query = (
        select(StoredAlert)
        .where(
            StoredAlert.attempt_id.in_(past),
            StoredAlert.superseded.is_(False),
            StoredAlert.detected_step >= first,
        )
        .order_by(StoredAlert.id)
    )
    for alert in session.scalars(query).all():
        _supersede(session, alert, by=attempt, now=now)


def supersede_if_overtaken(session: Session, alert: StoredAlert, *, now: float) -> None:
    """Marks an alert that is raised when a later attempt is already past its step."""
    if alert.superseded:
        return
    later = session.scalar(
        select(Attempt)
        .join(Snapshot, Snapshot.attempt_id == Attempt.id)
        .where(
            Attempt.run_id == alert.run_id,
            Attempt.id > alert.attempt_id,
            Snapshot.step <= alert.detected_step,
        )
        .order_by(Attempt.id)
        .limit(1)
    )
    if later is not None and not trained_beside(session, alert.attempt_id, later.id):
        _supersede(session, alert, by=later, now=now)


def _before(session: Session, attempt: Attempt) -> list[int]:
    """Earlier attempts of the run that have alerts on its course."""
    return list(session.scalars(_ALERTED_BEFORE, {"run": attempt.run_id, "attempt": attempt.id}))


def _supersede(session: Session, alert: StoredAlert, *, by: Attempt, now: float) -> None:
    note = f"attempt {by.slug} went over this stretch again"
    alert.superseded = True
    alert.updated_at = now
    record(session, alert, Change.SUPERSEDED, note=note, now=now)
    if alert.state != AlertState.RESOLVED.value:
        resolve(session, alert, note=note, now=now, reason="superseded")
