"""The list of alerts over all runs, or of one: newest first, by what they are."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.domain import AlertState
from bifurk_service.pages.meanings import MEANINGS
from bifurk_service.pages.rendering import page
from bifurk_service.pages.views import AlertsView
from bifurk_service.services import services
from bifurk_service.store.alert_lists import AlertFilter, newest_alerts
from bifurk_service.store.events import last_event_id
from bifurk_service.store.run_lists import list_projects, run_names

router = APIRouter(include_in_schema=False)

ALERTS_A_PAGE: Final = 100
MOST_PROJECTS: Final = 500
"""To choose from; any other is reached by its address."""
UNRESOLVED: Final = (AlertState.FIRING.value, AlertState.ACKNOWLEDGED.value)


@router.get("/alerts")
def get_alerts_page(
    request: Request, grant: Reader, view: Annotated[AlertsView, Query()]
) -> HTMLResponse:
    """Alerts, newest first, those that match."""
    is_elsewhere = grant.project is not None and view.project not in ("", grant.project)
    with services(request).database.read() as session:
        newest_event = last_event_id(session)
        if view.run:
            visible_run(session, int(view.run), grant)
        wanted = _filter(view, grant.project or view.project or None)
        found = [] if is_elsewhere else newest_alerts(session, wanted, limit=ALERTS_A_PAGE + 1)
        shown = found[:ALERTS_A_PAGE]
        runs = run_names(session, {alert.run_id for alert in shown})
        projects = list_projects(session, after_id=0, limit=MOST_PROJECTS, slug=grant.project)
        run = run_names(session, [int(view.run)])[int(view.run)] if view.run else None
    return page(
        request,
        "alerts.html",
        newest_event=newest_event,
        view=view,
        alerts=shown,
        runs=runs,
        run=run,
        kinds=sorted(MEANINGS),
        projects=[one.project for one in projects],
        older=shown[-1].id if len(found) > len(shown) else None,
    )


def _filter(view: AlertsView, project: str | None) -> AlertFilter:
    states = UNRESOLVED if view.state == "unresolved" else (view.state,) if view.state else ()
    return AlertFilter(
        run_id=int(view.run) if view.run else None,
        project=project,
        kinds=(view.kind,) if view.kind else (),
        severities=(view.severity,) if view.severity else (),
        states=states,
        silenced=False if view.silenced == "hidden" else None,
        children=False if view.parts == "hidden" else None,
        text=view.search.strip(),
        before_id=view.before,
    )
