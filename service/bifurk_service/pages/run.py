"""One run: a statistic of all layers over steps, the loss and the rate below it, its alerts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.detect.readiness import readiness
from bifurk_service.domain import Severity
from bifurk_service.pages.attempts import listed_attempts
from bifurk_service.pages.rendering import page
from bifurk_service.pages.views import RunView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.alert_lists import AlertFilter, newest_alerts
from bifurk_service.store.engine import Session
from bifurk_service.store.events import last_event_id
from bifurk_service.store.imports import imported_statistics
from bifurk_service.store.scalars import scalar_names
from bifurk_service.store.series import find_tensors
from bifurk_service.store.sums import judged_so_far, snapshot_counts
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/runs/{run_id}", include_in_schema=False)

MOST_COLUMNS: Final = 600
"""Of a heatmap: about one a pixel of a laptop's screen at half its width."""
MOST_ALERTS: Final = 500
"""Of one page, the newest of warnings and of the rest; the list of alerts has all."""
WARNED: Final = frozenset({Severity.WARNING.value, Severity.CRITICAL.value})


@router.get("")
def get_run_page(
    request: Request, grant: Reader, run_id: RunId, view: Annotated[RunView, Query()]
) -> HTMLResponse:
    """A run's page; the figures come by themselves."""
    with services(request).database.read() as session:
        newest_event = last_event_id(session)
        context = read_run(session, grant, run_id)
        own = [one.name for one in imported_statistics(session, run_id)]
    return page(
        request,
        "run.html",
        newest_event=newest_event,
        view=view,
        may_change="admin" in grant.scopes,
        statistics=[name for name, one in BY_NAME.items() if one.nature is not Nature.CLASS] + own,
        **context,
    )


def read_run(session: Session, grant: Grant, run_id: int) -> dict[str, Any]:
    """What the page of a run and its report say in words, by the names that templates use."""
    run = visible_run(session, run_id, grant)
    listed = listed_attempts(session, run_id)
    attempts = [one.attempt for one in listed]
    judged = judged_so_far(session, attempts[-1].id if attempts else -1)
    tensors = find_tensors(session, run_id)
    warnings, infos = (
        newest_alerts(
            session,
            AlertFilter(run_id=run_id, severities=severities, children=False),
            limit=MOST_ALERTS,
        )
        for severities in (tuple(WARNED), (Severity.INFO.value,))
    )
    return {
        "run": run,
        "attempts": attempts,
        "listed": listed,
        "counts": snapshot_counts(session, run_id),
        "readiness": readiness(
            judged=judged.count,
            last_step=judged.last_step,
            interval_steps=judged.interval_steps,
        ),
        "scalars": scalar_names(session, run_id),
        "tensors": tensors,
        "roles": sorted({tensor.role for tensor in tensors}),
        "alerts": [*warnings, *infos],
        "most_alerts": MOST_ALERTS,
        "is_cut": MOST_ALERTS in (len(warnings), len(infos)),
        "warned": WARNED,
    }
