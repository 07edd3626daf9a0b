"""Alerts moved through their life: acknowledged, resolved, silenced; by whom, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from bifurk_service.domain import AlertState
from bifurk_service.errors import ConflictError, NotFoundError
from bifurk_service.store.alert_history import SERVICE, Change, record
from bifurk_service.store.alert_lists import children_of
from bifurk_service.store.deliveries import enqueue_for_told
from bifurk_service.store.models import Attempt, StoredAlert


def get_alert(session: Session, alert_id: int) -> StoredAlert:
    """An alert by its id.

    Raises:
        NotFoundError: there is none.
    """
    alert = session.get(StoredAlert, alert_id)
    if alert is None:
        raise NotFoundError(f"no alert {alert_id}; `GET /api/v1/alerts` lists them")
    return alert


def move_alert(
    session: Session,
    alert_id: int,
    state: AlertState,
    *,
    who: str,
    now: float,
    note: str | None = None,
) -> StoredAlert:
    """A person acknowledges or resolves an alert and its parts; the same again changes nothing.

    Raises:
        ConflictError: it is resolved and would go back.
    """
    alert = get_alert(session, alert_id)
    if alert.state == state.value:
        return alert
    if alert.state == AlertState.RESOLVED.value:
        raise ConflictError(f"alert {alert_id} is resolved; a resolved alert stays so")
    _move(session, alert, state, who=who, note=note, now=now)
    for child in children_of(session, alert):
        if child.state not in (state.value, AlertState.RESOLVED.value):
            _move(session, child, state, who=who, note=f"with alert {alert_id}", now=now)
    return alert


def _move(
    session: Session,
    alert: StoredAlert,
    state: AlertState,
    *,
    who: str,
    note: str | None,
    now: float,
) -> None:
    if state is AlertState.RESOLVED:
        resolve(session, alert, who=who, note=note, now=now)
        return
    alert.state = state.value
    alert.updated_at = now
    record(session, alert, Change.ACKNOWLEDGED, who=who, note=note, now=now)


def resolve(
    session: Session,
    alert: StoredAlert,
    *,
    now: float,
    who: str = SERVICE,
    note: str | None = None,
    reason: str = "resolved",
) -> None:
    """Resolves an alert; who was told of it is told of its end.

    Args:
        reason: what the channels are told: resolved or superseded.
    """
    alert.state = AlertState.RESOLVED.value
    alert.resolved_at = alert.updated_at = now
    record(session, alert, Change.RESOLVED, who=who, note=note, now=now)
    enqueue_for_told(session, alert, reason=reason, now=now)


def resolve_kind(session: Session, attempt: Attempt, kind: str, *, note: str, now: float) -> None:
    """Resolves an attempt's alerts of one kind: what they told of is over."""
    query = _unresolved(attempt).where(StoredAlert.kind == kind)
    for alert in session.scalars(query).all():
        resolve(session, alert, note=note, now=now)


def resolve_returned(
    session: Session, attempt: Attempt, fingerprints: Sequence[str], *, note: str, now: float
) -> None:
    """Resolves an attempt's alerts of these fingerprints: their series are back."""
    query = _unresolved(attempt).where(StoredAlert.fingerprint.in_(fingerprints))
    for alert in session.scalars(query).all() if fingerprints else ():
        resolve(session, alert, note=note, now=now)


def _unresolved(attempt: Attempt) -> Select[StoredAlert]:
    return (
        select(StoredAlert)
        .where(StoredAlert.attempt_id == attempt.id, StoredAlert.state != AlertState.RESOLVED.value)
        .order_by(StoredAlert.id)
    )


def silence(session: Session, alert: StoredAlert, rule: str | None, *, now: float) -> None:
    """Notes by which rule an alert is kept from people; None: by none, or by none any more."""
    before = alert.silenced_by
    if before == rule:
        return
    alert.silenced_by = rule
    if rule is not None:
        record(session, alert, Change.SILENCED, note=f"by rule {rule}", now=now)
    else:
        record(session, alert, Change.GREW, note=f"no longer silenced by rule {before}", now=now)
