"""One alert: what happened, what it rests on, what it may mean; acknowledged and resolved here."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from bifurk_service.api.alerts import move_as_asked
from bifurk_service.api.grants import Admin, Reader
from bifurk_service.api.parameters import AlertId
from bifurk_service.api.schemas import AlertNote
from bifurk_service.detect import leaves_baseline, silent
from bifurk_service.domain import AlertState
from bifurk_service.errors import InvalidError
from bifurk_service.pages.alert_band import against_good, good_still_there
from bifurk_service.pages.alert_seen import visible_alert
from bifurk_service.pages.forks import FORKS
from bifurk_service.pages.forms import Form
from bifurk_service.pages.marks import details_text
from bifurk_service.pages.meaning import Look
from bifurk_service.pages.meanings import MEANINGS
from bifurk_service.pages.rendering import page, query, root_of
from bifurk_service.pages.silencing import silencing_rule
from bifurk_service.pages.views import AlertView
from bifurk_service.services import services
from bifurk_service.stats.registry import BY_NAME, Nature
from bifurk_service.store.alert_history import history_of, resolved_by
from bifurk_service.store.alert_lists import children_of, parent_ids
from bifurk_service.store.alerts import get_alert
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.runs import attempt_slug

router = APIRouter(include_in_schema=False)

MOST_CHANGES: Final = 100
"""Of the history, on one page."""
MOST_ROWS: Final = 200
"""Tensors in the table; the data has all."""
MOVES: Final = {"acknowledge": AlertState.ACKNOWLEDGED, "resolve": AlertState.RESOLVED}


@router.get("/alerts/{alert_id}")
def get_alert_page(
    request: Request, grant: Reader, alert_id: AlertId, view: Annotated[AlertView, Query()]
) -> HTMLResponse:
    """An alert's page; the figures come by themselves."""
    settings = services(request).settings
    with services(request).database.read() as session:
        alert = visible_alert(session, alert_id, grant)
        run = run_summary(session, alert.run_id)
        good = [one.id for one in good_still_there(session, grant, alert)]
        context: dict[str, Any] = {
            "attempt": attempt_slug(session, alert.attempt_id),
            "history": history_of(session, alert_id, after_id=view.after, limit=MOST_CHANGES + 1),
            "resolved_by": resolved_by(session, alert),
            "parent": _parent(session, alert),
            "children": children_of(session, alert),
        }
    may_change = "admin" in grant.scopes
    return page(
        request,
        "alert.html",
        alert=alert,
        run=run,
        view=view,
        statistics=_statistics(alert),
        tensors=alert.tensors[:MOST_ROWS],
        explained=[_mark(mark) for mark in alert.explained_by],
        checkpoint=None if alert.checkpoint is None else _mark(alert.checkpoint),
        meaning=MEANINGS.get(alert.kind),
        looks=_looks(alert, root_of(request), good),
        most_changes=MOST_CHANGES,
        asks_the_schedule=alert.kind not in (leaves_baseline.KIND, silent.KIND),
        runs_again=bool(alert.tensors) and alert.kind != leaves_baseline.KIND,
        is_fork=alert.kind in FORKS,
        has_branches=any(one.get("branch") is not None for one in alert.tensors),
        rule=silencing_rule(
            kind=alert.kind,
            project=run.project,
            run=run.run,
            tensors=[one["name"] for one in alert.tensors],
        ),
        alerts_file=settings.alerts_file if may_change else None,
        has_alerts_file=settings.alerts_file is not None,
        may_change=may_change,
        **context,
    )


@router.post("/alerts/{alert_id}")
def post_alert_page(request: Request, grant: Admin, alert_id: AlertId, form: Form) -> Response:
    """Acknowledges or resolves it, as a form asks; the browser goes back to the page."""
    with services(request).database.write() as session:
        alert = visible_alert(session, alert_id, grant)
        state = MOVES.get(form.get("move", ""))
        if state is None:
            raise InvalidError(f"expected a move of {' or '.join(MOVES)}", where="move")
        move_as_asked(request, session, grant, alert, state, _note(form.get("note", "")))
    asked = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(
        f"{root_of(request)}/alerts/{alert_id}{asked}", status_code=HTTPStatus.SEE_OTHER
    )


def _note(text: str) -> str | None:
    try:
        return AlertNote(note=text.strip() or None).note
    except ValidationError as error:
        raise InvalidError(error.errors()[0]["msg"], where="note") from error


def _parent(session: Session, alert: StoredAlert) -> StoredAlert | None:
    parent = parent_ids(session, [alert]).get(alert.id)
    return None if parent is None else get_alert(session, parent)


def _statistics(alert: StoredAlert) -> list[str]:
    """What the evidence may show: the statistics that moved first, then the table's."""
    moved = [alert.statistic, *(name for one in alert.tensors for name in one["statistics"])]
    table = [name for name, one in BY_NAME.items() if one.nature is not Nature.CLASS]
    return [name for name in dict.fromkeys([*moved, *table]) if name]


def _mark(mark: dict[str, Any]) -> dict[str, Any]:
    return {**mark, "text": details_text(mark["details"])}


def _looks(alert: StoredAlert, root: str, good: Sequence[int]) -> list[tuple[str, str, str]]:
    """What to look at next: the text, where it is, and what the link says."""
    meaning = MEANINGS.get(alert.kind)
    looks = () if meaning is None else meaning.looks
    return [(one.text, *_place(one, alert, root, good)) for one in looks]


def _place(look: Look, alert: StoredAlert, root: str, good: Sequence[int]) -> tuple[str, str]:
    run = f"{root}/runs/{alert.run_id}"
    statistic = look.statistic or alert.statistic
    known = statistic if statistic in BY_NAME else None
    first = alert.tensors[0] if alert.tensors else None
    if look.at == "evidence":
        named = f"{statistic} of these tensors" if look.statistic and first else "the evidence"
        return f"{root}/alerts/{alert.id}?{query({'stat': statistic or None})}#evidence", named
    if look.at == "branches" and first is not None and first["layer"] is not None:
        asked = {"role": first["role"], "stat": known, "alert": alert.id}
        return f"{run}/branches?{query(asked)}", f"{statistic} by layer"
    if look.at == "tensor" and first is not None:
        asked = {"step": alert.detected_step}
        return f"{run}/tensors/{first['id']}?{query(asked)}", first["name"]
    if look.at == "baseline":
        return f"{root}/compare?{query(against_good(alert, good, known))}", "against the good runs"
    if look.at == "heatmap":
        return f"{run}?{query({'stat': known, 'alerts': 'all'})}", f"{statistic} of all tensors"
    return run, "the run"
