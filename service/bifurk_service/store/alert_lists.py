"""Alerts read back: filtered, with their parents and children, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, defer

from bifurk_service.store.models import Project, Run, StoredAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts to list; what is None or empty does not filter.

    Attributes:
        silenced, superseded: whether a rule keeps it from people; whether a later attempt went
            over its stretch again. children: whether it is a part of another.
        text: in the sentence, or the run's name or display name. before_id: with smaller ids.
    """

    run_id: int | None = None
    project: str | None = None
    kinds: Sequence[str] = ()
    severities: Sequence[str] = ()
    states: Sequence[str] = ()
    since_step: int | None = None
    silenced: bool | None = None
    superseded: bool | None = None
    children: bool | None = None
    text: str = ""
    before_id: int | None = None


def list_alerts(
    session: Session, wanted: AlertFilter, *, after_id: int, limit: int
) -> list[StoredAlert]:
    """Alerts in the order they were raised, filtered."""
    query = _filtered(wanted).where(StoredAlert.id > after_id).order_by(StoredAlert.id)
    return list(session.scalars(query.limit(limit)))


def _filtered(wanted: AlertFilter) -> Select[StoredAlert]:
    query = select(StoredAlert)
    if wanted.run_id is not None:
        query = query.where(StoredAlert.run_id == wanted.run_id)
    if wanted.project is not None:
        own = select(Run.id).join(Project, Run.project_id == Project.id)
        query = query.where(StoredAlert.run_id.in_(own.where(Project.slug == wanted.project)))
    if wanted.text:
        query = query.where(_says(wanted.text))
    if wanted.before_id is not None:
        query = query.where(StoredAlert.id < wanted.before_id)
    for column, allowed in (
        (StoredAlert.kind, wanted.kinds),
        (StoredAlert.severity, wanted.severities),
        (StoredAlert.state, wanted.states),
    ):
        if allowed:
            query = query.where(column.in_(allowed))
    if wanted.since_step is not None:
        query = query.where(StoredAlert.detected_step >= wanted.since_step)
    for held, holds in (
        (wanted.silenced, StoredAlert.silenced_by.is_not(None)),
        (wanted.superseded, StoredAlert.superseded.is_(True)),
        (wanted.children, StoredAlert.parent != ""),
    ):
        if held is not None:
            query = query.where(holds if held else ~holds)
    return query


def _says(text: str) -> ColumnElement[bool]:
    """What holds for alerts whose sentence, or whose run's name, holds a text."""
    named = select(Run.id).where(
        or_(*(name.icontains(text, autoescape=True) for name in (Run.slug, Run.display_name)))
    )
    return or_(StoredAlert.sentence.icontains(text, autoescape=True), StoredAlert.run_id.in_(named))


def newest_alerts(session: Session, wanted: AlertFilter, *, limit: int) -> list[StoredAlert]:
    """The alerts raised last, newest first, filtered; without what they rest on."""
    query = _filtered(wanted).order_by(StoredAlert.id.desc()).limit(limit)
    query = query.options(defer(StoredAlert.evidence, raiseload=True))
    return list(session.scalars(query))


def alerts_of(session: Session, run_id: int) -> list[StoredAlert]:
    """All alerts of a run, in the order they were raised."""
    query = select(StoredAlert).where(StoredAlert.run_id == run_id).order_by(StoredAlert.id)
    return list(session.scalars(query))


def parent_ids(session: Session, alerts: Sequence[StoredAlert]) -> dict[int, int]:
    """By alert, the id of the alert that it is a part of; without those that stand alone."""
    parts = [alert for alert in alerts if alert.parent]
    query = select(StoredAlert.attempt_id, StoredAlert.fingerprint, StoredAlert.id).where(
        StoredAlert.attempt_id.in_({alert.attempt_id for alert in parts}),
        StoredAlert.fingerprint.in_({alert.parent for alert in parts}),
    )
    ids = {
        (attempt_id, fingerprint): alert_id
        for attempt_id, fingerprint, alert_id in (session.execute(query) if parts else ())
    }
    found = ((alert.id, ids.get((alert.attempt_id, alert.parent))) for alert in parts)
    return {alert_id: parent for alert_id, parent in found if parent is not None}


def children_of(session: Session, alert: StoredAlert) -> list[StoredAlert]:
    """The alerts that are parts of this one, in the order they were raised."""
    query = (
        select(StoredAlert)
        .where(StoredAlert.attempt_id == alert.attempt_id, StoredAlert.parent == alert.fingerprint)
        .order_by(StoredAlert.id)
    )
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCount:
    """How many alerts of one kind, severity and state a run has, silenced or not."""

    run_id: int
    project: str
    run: str
    kind: str
    severity: str
    state: str
    silenced: bool
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
        StoredAlert.silenced_by.is_not(None),
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
            silenced=silenced,
            count=count,
        )
        for run_id, project, run, kind, severity, state, silenced, count in rows
    ]
