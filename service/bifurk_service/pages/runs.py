"""The list of runs: how each stands, what was told of it, and its loss at a glance."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bifurk_service.api.grants import Reader
from bifurk_service.figures.sparkline import POINTS, sparkline
from bifurk_service.pages.rendering import page
from bifurk_service.pages.views import RunsView
from bifurk_service.services import services
from bifurk_service.store.engine import Session
from bifurk_service.store.events import last_event_id
from bifurk_service.store.run_lists import search_runs
from bifurk_service.store.runs import attempts_of
from bifurk_service.store.scalars import scalar_names, scalar_sketch
from bifurk_service.store.sums import snapshot_totals
from bifurk_service.store.tags import checked_tag

router = APIRouter(include_in_schema=False)

RUNS_A_PAGE: Final = 50


@router.get("/")
def get_runs_page(
    request: Request, grant: Reader, view: Annotated[RunsView, Query()]
) -> HTMLResponse:
    """Runs, newest first, those that match."""
    with services(request).database.read() as session:
        newest_event = last_event_id(session)
        found = search_runs(
            session,
            text=view.search.strip(),
            state=view.state,
            tags=[checked_tag(tag) for tag in view.tag],
            project=grant.project,
            before_id=view.before,
            limit=RUNS_A_PAGE,
        )
        totals = snapshot_totals(session, [run.id for run in found])
        rows = [(run, totals.get(run.id, 0), *_facts(session, run.id)) for run in found]
    return page(
        request,
        "runs.html",
        newest_event=newest_event,
        view=view,
        rows=rows,
        older=found[-1].id if len(found) == RUNS_A_PAGE else None,
    )


def _facts(session: Session, run_id: int) -> tuple[float | None, int, str]:
    """The usual seconds between two snapshots, those lost, and the loss drawn small.

    None where the client has not said yet; "" without a loss.
    """
    attempts = attempts_of(session, run_id)
    lost = sum(sum(attempt.dropped.values()) for attempt in attempts)
    interval = attempts[-1].interval_seconds if attempts else None
    name = loss_name(scalar_names(session, run_id))
    values = scalar_sketch(session, run_id, name, points=POINTS) if name else []
    return interval, lost, sparkline(values)


def loss_name(names: list[str]) -> str:
    """Of the scalars a run logs, the one that is its loss; "" where none sounds like it."""
    for wanted in ("loss", "train_loss", "train/loss"):
        if wanted in names:
            return wanted
    return next((name for name in names if "loss" in name.lower()), "")
