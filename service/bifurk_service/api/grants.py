"""What the routes of one run need: a grant that reaches it, and the run itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from bifurk_service.access import check_project, require
from bifurk_service.store.engine import Session
from bifurk_service.store.run_lists import RunSummary, run_summary
from bifurk_service.store.tokens import Grant

Reader = Annotated[Grant, Depends(require("read"))]
Admin = Annotated[Grant, Depends(require("admin"))]


def visible_run(session: Session, run_id: int, grant: Grant) -> RunSummary:
    """A run's summary, if the grant reaches it.

    Raises:
        NotFoundError: there is no such run, or it belongs to a project beyond the grant.
    """
    run = run_summary(session, run_id)
    check_project(grant, run.project)
    return run
