"""A run's tags, put on and taken off by the forms of its page."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from bifurk_service.access import note_act
from bifurk_service.api.grants import Admin, visible_run
from bifurk_service.api.parameters import RunId
from bifurk_service.errors import InvalidError
from bifurk_service.pages.forms import Form
from bifurk_service.pages.rendering import root_of
from bifurk_service.services import services
from bifurk_service.store.audit import Action
from bifurk_service.store.tags import add_tag, remove_tag

router = APIRouter(prefix="/runs/{run_id}", include_in_schema=False)


@router.post("")
def post_tags(request: Request, grant: Admin, run_id: RunId, form: Form) -> Response:
    """Adds or removes a tag, as a form asks; the browser goes back to the run's page."""
    with services(request).database.write() as session:
        run = visible_run(session, run_id, grant)
        if "add" in form:
            tag, action = form["add"], Action.TAG_ADDED
            add_tag(session, run_id, tag)
        elif "remove" in form:
            tag, action = form["remove"], Action.TAG_REMOVED
            remove_tag(session, run_id, tag)
        else:
            raise InvalidError("expected a tag to add or to remove", where="add")
        note_act(request, session, grant, action, f"{run.project}/{run.run}", tag)
    asked = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(
        f"{root_of(request)}/runs/{run_id}{asked}", status_code=HTTPStatus.SEE_OTHER
    )
