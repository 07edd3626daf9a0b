"""What the routes of one run need: a grant that reaches it, and the run itself."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends

from bifurk_service.access import check_project, require
from bifurk_service.store.alert_history import SERVICE
from bifurk_service.store.engine import Session
from bifurk_service.store.queries import RunSummary, run_summary
from bifurk_service.store.tokens import Grant

Reader = Annotated[Grant, Depends(require("read"))]
Admin = Annotated[Grant, Depends(require("admin"))]
ANONYMOUS: Final = "anonymous"
"""Who changed something on a server that asks for no token."""


def who(grant: Grant) -> str:
    """Whom a change is put down to; a token's name passes for nothing but a token's."""
    if grant.name is None:
        return ANONYMOUS
    return f"token {grant.name}" if grant.name in (ANONYMOUS, SERVICE) else grant.name


def visible_run(session: Session, run_id: int, grant: Grant) -> RunSummary:
    """A run's summary, if the grant reaches it.

    Raises:
        NotFoundError: there is no such run, or it belongs to a project beyond the grant.
    """
    run = run_summary(session, run_id)
    check_project(grant, run.project)
    return run
