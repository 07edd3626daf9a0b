"""What happened to an alert, when and by whom: kept for good, and told to the stream."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.events import append_event
from bifurk_service.store.models import AlertChange, StoredAlert

SERVICE: Final = "bifurk"
"""Who changed an alert where no person did."""


class Change(StrEnum):
    """What can happen to an alert."""

    RAISED = "raised"
    GREW = "grew"
    GRAVER = "graver"
    SILENCED = "silenced"
    JOINED = "joined"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    SUPERSEDED = "superseded"


def record(
    session: Session,
    alert: StoredAlert,
    change: Change,
    *,
    now: float,
    who: str = SERVICE,
    note: str | None = None,
) -> None:
    """Adds a change to an alert's history, and tells the stream; the alert is as it is after it."""
    session.add(
        AlertChange(
            alert_id=alert.id,
            at=now,
            change=change.value,
            state=alert.state,
            severity=alert.severity,
            who=who,
            note=note,
        )
    )
    announce(session, alert, change, now=now, who=who)


def announce(
    session: Session, alert: StoredAlert, change: Change, *, now: float, who: str = SERVICE
) -> None:
    """Tells the stream alone."""
    append_event(
        session,
        run_id=alert.run_id,
        kind="alert",
        now=now,
        data={
            "id": alert.id,
            "change": change.value,
            "who": who,
            "kind": alert.kind,
            "severity": alert.severity,
            "state": alert.state,
            "silenced_by": alert.silenced_by,
            "detected_step": alert.detected_step,
            "sentence": alert.sentence,
        },
    )


def history_of(session: Session, alert_id: int, *, after_id: int, limit: int) -> list[AlertChange]:
    """An alert's changes, oldest first."""
    query = (
        select(AlertChange)
        .where(AlertChange.alert_id == alert_id, AlertChange.id > after_id)
        .order_by(AlertChange.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def resolved_by(session: Session, alert: StoredAlert) -> str | None:
    """Who resolved it last; None where its history does not say."""
    query = (
        select(AlertChange.who)
        .where(AlertChange.alert_id == alert.id, AlertChange.change == Change.RESOLVED.value)
        .order_by(AlertChange.id.desc())
        .limit(1)
    )
    return session.scalar(query)
