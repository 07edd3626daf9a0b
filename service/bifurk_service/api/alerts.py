"""Alerts: listed, read, acknowledged, resolved, and what has happened to each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Body, Query, Request

from bifurk_service.access import check_project, note_act, who
from bifurk_service.api.grants import Admin, Reader, visible_run
from bifurk_service.api.pagination import Cursor, Limit, decode_cursor, next_cursor
from bifurk_service.api.parameters import AlertId, OfRun, Slug, Text
from bifurk_service.api.schemas import (
    AlertAnswer,
    AlertChangeAnswer,
    AlertDetailAnswer,
    AlertNote,
    Page,
)
from bifurk_service.domain import LARGEST, AlertState, Severity
from bifurk_service.services import services
from bifurk_service.store.alert_history import history_of
from bifurk_service.store.alert_lists import AlertFilter, children_of, list_alerts, parent_ids
from bifurk_service.store.alerts import get_alert, move_alert
from bifurk_service.store.audit import Action
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

ACTIONS: Final = {
    AlertState.ACKNOWLEDGED: Action.ALERT_ACKNOWLEDGED,
    AlertState.RESOLVED: Action.ALERT_RESOLVED,
}
Why: TypeAlias = Annotated[AlertNote | None, Body()]


@router.get("")
def get_alerts(  # noqa: PLR0913 - one argument a query parameter
    request: Request,
    grant: Reader,
    *,
    run: OfRun = None,
    project: Slug = None,
    kind: Annotated[list[Text], Query()] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    severity: Annotated[list[Severity], Query()] = [],  # noqa: B006
    state: Annotated[list[AlertState], Query()] = [],  # noqa: B006
    since: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="Detected at this step or later.")
    ] = None,
    silenced: Annotated[
        bool | None, Query(description="Whether a rule keeps it from people; without it, all.")
    ] = None,
    superseded: Annotated[
        bool | None, Query(description="Whether a later attempt went over its stretch again.")
    ] = None,
    children: Annotated[bool | None, Query(description="Whether it is a part of another.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AlertAnswer]:
    """Alerts in the order they were raised."""
    with services(request).database.read() as session:
        if run is not None:
            visible_run(session, run, grant)
        if grant.project is not None and project not in (None, grant.project):
            return Page(items=[])
        found = list_alerts(
            session,
            AlertFilter(
                run_id=run,
                project=grant.project or project,
                kinds=tuple(kind),
                severities=tuple(severity),
                states=tuple(state),
                since_step=since,
                silenced=silenced,
                superseded=superseded,
                children=children,
            ),
            after_id=decode_cursor(cursor),
            limit=limit,
        )
        items = [AlertAnswer.model_validate(fields) for fields in _fields(session, found)]
    return Page(items=items, next_cursor=next_cursor([alert.id for alert in found], limit))


@router.get("/{alert_id}")
def get_one_alert(request: Request, grant: Reader, alert_id: AlertId) -> AlertDetailAnswer:
    """One alert with its evidence."""
    with services(request).database.read() as session:
        return _detail(session, _visible(session, grant, alert_id))


@router.get("/{alert_id}/history")
def get_alert_history(
    request: Request, grant: Reader, alert_id: AlertId, limit: Limit = 100, cursor: Cursor = None
) -> Page[AlertChangeAnswer]:
    """What has happened to an alert, oldest first."""
    with services(request).database.read() as session:
        _visible(session, grant, alert_id)
        found = history_of(session, alert_id, after_id=decode_cursor(cursor), limit=limit)
    return Page(
        items=[AlertChangeAnswer.model_validate(change) for change in found],
        next_cursor=next_cursor([change.id for change in found], limit),
    )


@router.post("/{alert_id}/acknowledge")
def acknowledge_alert(
    request: Request, grant: Admin, alert_id: AlertId, why: Why = None
) -> AlertDetailAnswer:
    """Says that a person has seen it; it keeps firing, quietly."""
    return _move(request, grant, alert_id, AlertState.ACKNOWLEDGED, why)


@router.post("/{alert_id}/resolve")
def resolve_alert(
    request: Request, grant: Admin, alert_id: AlertId, why: Why = None
) -> AlertDetailAnswer:
    """Says that it is over."""
    return _move(request, grant, alert_id, AlertState.RESOLVED, why)


def _move(
    request: Request, grant: Grant, alert_id: int, state: AlertState, why: AlertNote | None
) -> AlertDetailAnswer:
    with services(request).database.write() as session:
        alert = _visible(session, grant, alert_id)
        move_as_asked(request, session, grant, alert, state, None if why is None else why.note)
        return _detail(session, alert)


def move_as_asked(
    request: Request,
    session: Session,
    grant: Grant,
    alert: StoredAlert,
    state: AlertState,
    note: str | None,
) -> None:
    """Acknowledges or resolves an alert in the name of whoever asks; the note is its history's."""
    if alert.state == state.value:
        return
    move_alert(session, alert.id, state, who=who(grant), note=note, now=time.time())
    run = run_summary(session, alert.run_id)
    target = f"alert {alert.id} of {run.project}/{run.run}"
    note_act(request, session, grant, ACTIONS[state], target)


def _visible(session: Session, grant: Grant, alert_id: int) -> StoredAlert:
    alert = get_alert(session, alert_id)
    check_project(grant, run_summary(session, alert.run_id).project)
    return alert


def _detail(session: Session, alert: StoredAlert) -> AlertDetailAnswer:
    [fields] = _fields(session, [alert])
    children = [child.id for child in children_of(session, alert)]
    return AlertDetailAnswer.model_validate({**fields, "children": children})


def _fields(session: Session, alerts: Sequence[StoredAlert]) -> list[dict[str, Any]]:
    """The fields of ``AlertAnswer`` by name, for each alert."""
    parents = parent_ids(session, alerts)
    answers = []
    for alert in alerts:
        run = run_summary(session, alert.run_id)
        named: dict[str, Any] = {
            "project": run.project,
            "run": run.run,
            "attempt": attempt_slug(session, alert.attempt_id),
            "parent": parents.get(alert.id),
        }
        columns = (name for name in AlertAnswer.model_fields if name not in named)
        answers.append({**{name: getattr(alert, name) for name in columns}, **named})
    return answers
