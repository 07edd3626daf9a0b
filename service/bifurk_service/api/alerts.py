"""Alerts: listed, read, acknowledged, resolved."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from bifurk_service.access import check_project
from bifurk_service.api.grants import Admin, Reader, visible_run
from bifurk_service.api.pagination import Cursor, Limit, decode_cursor, next_cursor
from bifurk_service.api.parameters import LARGEST, AlertId, OfRun, Slug, Text
from bifurk_service.api.schemas import AlertAnswer, Page
from bifurk_service.domain import AlertState, Severity
from bifurk_service.services import services
from bifurk_service.store.alerts import AlertFilter, get_alert, list_alerts, move_alert
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.queries import run_summary
from bifurk_service.store.runs import attempt_slug
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])


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
            ),
            after_id=decode_cursor(cursor),
            limit=limit,
        )
        items = [_answer(session, alert) for alert in found]
    return Page(items=items, next_cursor=next_cursor([alert.id for alert in found], limit))


@router.get("/{alert_id}")
def get_one_alert(request: Request, grant: Reader, alert_id: AlertId) -> AlertAnswer:
    """One alert with its evidence."""
    with services(request).database.read() as session:
        alert = get_alert(session, alert_id)
        check_project(grant, run_summary(session, alert.run_id).project)
        return _answer(session, alert)


@router.post("/{alert_id}/acknowledge")
def acknowledge_alert(request: Request, grant: Admin, alert_id: AlertId) -> AlertAnswer:
    """Says that a person has seen it; it keeps firing, quietly."""
    return _move(request, grant, alert_id, AlertState.ACKNOWLEDGED)


@router.post("/{alert_id}/resolve")
def resolve_alert(request: Request, grant: Admin, alert_id: AlertId) -> AlertAnswer:
    """Says that it is over."""
    return _move(request, grant, alert_id, AlertState.RESOLVED)


def _move(request: Request, grant: Grant, alert_id: int, state: AlertState) -> AlertAnswer:
    with services(request).database.write() as session:
        check_project(grant, run_summary(session, get_alert(session, alert_id).run_id).project)
        return _answer(session, move_alert(session, alert_id, state, now=time.time()))


def _answer(session: Session, alert: StoredAlert) -> AlertAnswer:
    run = run_summary(session, alert.run_id)
    named: dict[str, Any] = {
        "project": run.project,
        "run": run.run,
        "attempt": attempt_slug(session, alert.attempt_id),
    }
    columns = {name: getattr(alert, name) for name in AlertAnswer.model_fields if name not in named}
    return AlertAnswer.model_validate({**columns, **named})
