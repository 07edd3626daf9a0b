"""From a detector's alert to the people: kept, ruled upon, and put into the outbox."""

from __future__ import annotations

from bifurk_service.domain import Alert, AlertState
from bifurk_service.notify.rules import Ruler
from bifurk_service.store.alert_history import Change
from bifurk_service.store.alert_keeping import keep_alert
from bifurk_service.store.alert_lists import parent_ids
from bifurk_service.store.alerts import silence
from bifurk_service.store.deliveries import enqueue, seconds_since_told
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt, Project, StoredAlert
from bifurk_service.store.runs import run_of


def report_alert(
    session: Session, attempt: Attempt, alert: Alert, policy: Ruler, *, now: float
) -> StoredAlert | None:
    """Keeps an alert and, where it is news that no rule silences, writes down whom to tell.

    An alert that is a part of another is kept and shown, and its parent is what people are told of
    while that one stands; a part whose parent is silenced or resolved is told by itself.
    Rules are asked for news alone: growth of what is open neither tells nor silences. A cooldown
    is about other alerts, so that what is open and becomes graver is told at once.

    Returns:
        The stored alert where it is such news, else None.
    """
    kept = keep_alert(session, attempt, alert, now=now)
    if kept.alert.state != AlertState.FIRING.value:
        return None
    if kept.was_open and kept.change is Change.GREW:
        return None
    run = run_of(session, attempt)

    def since_told(kind: str) -> float | None:
        return None if kept.was_open else seconds_since_told(session, run.id, kind, now)

    ruling = policy.rule(
        alert,
        project=session.get_one(Project, run.project_id).slug,
        run=run.slug,
        seconds_since_told=since_told,
    )
    silence(session, kept.alert, ruling.silenced_by, now=now)
    if ruling.silenced_by is not None or _has_a_voice(session, kept.alert):
        return None
    reason = "graver" if kept.change is Change.GRAVER else "raised"
    enqueue(session, kept.alert, ruling.channels, reason=reason, now=now)
    return kept.alert


def _has_a_voice(session: Session, part: StoredAlert) -> bool:
    """Whether an alert has a parent that speaks for it."""
    parent_id = parent_ids(session, [part]).get(part.id)
    if parent_id is None:
        return False
    parent = session.get_one(StoredAlert, parent_id)
    return parent.silenced_by is None and parent.state != AlertState.RESOLVED.value
