"""Alerts as stored: raised, updated, listed, moved through their life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.domain import Alert, AlertState, Mark
from bifurk_service.errors import ConflictError, NotFoundError
from bifurk_service.store.events import append_event
from bifurk_service.store.models import Attempt, Project, Run, StoredAlert


def keep_alert(session: Session, attempt: Attempt, alert: Alert, *, now: float) -> StoredAlert:
    """Stores a new alert, or brings the one with this fingerprint up to date."""
    stored = session.scalar(
        select(StoredAlert).where(
            StoredAlert.attempt_id == attempt.id, StoredAlert.fingerprint == alert.fingerprint
        )
    )
    if stored is None:
        stored = StoredAlert(
            run_id=attempt.run_id,
            attempt_id=attempt.id,
            fingerprint=alert.fingerprint,
            state=AlertState.FIRING.value,
            created_at=now,
        )
        session.add(stored)
    for name, value in _columns(alert).items():
        setattr(stored, name, value)
    stored.updated_at = now
    session.flush()
    _tell(session, stored, now)
    return stored


def _columns(alert: Alert) -> dict[str, Any]:
    return {
        "kind": alert.kind,
        "severity": alert.severity.value,
        "statistic": alert.statistic,
        "detected_step": alert.detected_step,
        "detected_sequence": alert.detected_sequence,
        "onset_first_step": alert.onset_first_step,
        "onset_last_step": alert.onset_last_step,
        "before": alert.before,
        "after": alert.after,
        "score": alert.score,
        "sentence": alert.sentence,
        "tensors": [
            {
                "id": affected.tensor.id,
                "name": affected.tensor.name,
                "layer": affected.tensor.layer,
                "role": affected.tensor.role,
                "statistics": list(affected.statistics),
                "onset_first_step": affected.onset_first_step,
                "onset_last_step": affected.onset_last_step,
                "before": affected.before,
                "after": affected.after,
                "score": affected.score,
            }
            for affected in alert.tensors
        ],
        "explained_by": [_mark(mark) for mark in alert.explained_by],
        "checkpoint": None if alert.checkpoint is None else _mark(alert.checkpoint),
        "evidence": dict(alert.evidence),
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {**asdict(mark), "details": dict(mark.details)}


def _tell(session: Session, alert: StoredAlert, now: float) -> None:
    append_event(
        session,
        run_id=alert.run_id,
        kind="alert",
        now=now,
        data={
            "id": alert.id,
            "kind": alert.kind,
            "severity": alert.severity,
            "state": alert.state,
            "detected_step": alert.detected_step,
            "sentence": alert.sentence,
        },
    )


def get_alert(session: Session, alert_id: int) -> StoredAlert:
    """An alert by its id.

    Raises:
        NotFoundError: there is none.
    """
    alert = session.get(StoredAlert, alert_id)
    if alert is None:
        raise NotFoundError(f"no alert {alert_id}; `GET /api/v1/alerts` lists them")
    return alert


def move_alert(session: Session, alert_id: int, state: AlertState, *, now: float) -> StoredAlert:
    """Acknowledges or resolves an alert; the same again changes nothing.

    Raises:
        ConflictError: it is resolved and would go back.
    """
    alert = get_alert(session, alert_id)
    if alert.state == state.value:
        return alert
    if alert.state == AlertState.RESOLVED.value:
        raise ConflictError(f"alert {alert_id} is resolved; a resolved alert stays so")
    alert.state = state.value
    alert.updated_at = now
    _tell(session, alert, now)
    return alert


def resolve_alerts(session: Session, attempt: Attempt, *, kind: str, now: float) -> None:
    """Resolves an attempt's alerts of one kind: what they told of is over."""
    query = select(StoredAlert.id).where(
        StoredAlert.attempt_id == attempt.id,
        StoredAlert.kind == kind,
        StoredAlert.state != AlertState.RESOLVED.value,
    )
    for alert_id in session.scalars(query).all():
        move_alert(session, alert_id, AlertState.RESOLVED, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts to list; what is None or empty does not filter."""

    run_id: int | None = None
    project: str | None = None
    kinds: Sequence[str] = ()
    severities: Sequence[str] = ()
    states: Sequence[str] = ()
    since_step: int | None = None


def list_alerts(
    session: Session, wanted: AlertFilter, *, after_id: int, limit: int
) -> list[StoredAlert]:
    """Alerts in the order they were raised, filtered."""
    query = select(StoredAlert).where(StoredAlert.id > after_id)
    if wanted.run_id is not None:
        query = query.where(StoredAlert.run_id == wanted.run_id)
    if wanted.project is not None:
        query = (
            query.join(Run, StoredAlert.run_id == Run.id)
            .join(Project, Run.project_id == Project.id)
            .where(Project.slug == wanted.project)
        )
    for column, allowed in (
        (StoredAlert.kind, wanted.kinds),
        (StoredAlert.severity, wanted.severities),
        (StoredAlert.state, wanted.states),
    ):
        if allowed:
            query = query.where(column.in_(allowed))
    if wanted.since_step is not None:
        query = query.where(StoredAlert.detected_step >= wanted.since_step)
    return list(session.scalars(query.order_by(StoredAlert.id).limit(limit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCount:
    """How many alerts of one kind, severity and state a run has."""

    run_id: int
    project: str
    run: str
    kind: str
    severity: str
    state: str
    count: int


def alert_counts(session: Session) -> list[AlertCount]:
    """Alerts of all runs, counted."""
    keys = (
        StoredAlert.run_id,
        Project.slug,
        Run.slug,
        StoredAlert.kind,
        StoredAlert.severity,
        StoredAlert.state,
    )
    rows = session.execute(
        select(*keys, func.count())
        .join(Run, StoredAlert.run_id == Run.id)
        .join(Project, Run.project_id == Project.id)
        .group_by(*keys)
    )
    return [
        AlertCount(
            run_id=run_id,
            project=project,
            run=run,
            kind=kind,
            severity=severity,
            state=state,
            count=count,
        )
        for run_id, project, run, kind, severity, state, count in rows
    ]
