"""The audit log, for those who may do everything."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from bifurk_service.access import require
from bifurk_service.api.pagination import Cursor, Limit, decode_cursor, next_cursor
from bifurk_service.api.parameters import Text
from bifurk_service.api.schemas import Page, Shape
from bifurk_service.services import services
from bifurk_service.store.audit import Action, acts
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1/audit", tags=["system"])


class AuditAnswer(Shape):
    """Something that was done."""

    id: int
    at: float = Field(description="Seconds since 1970 UTC.")
    action: str
    who: str = Field(
        description="The name of a token, `anonymous` on an open server, `bifurk` itself, or the "
        "user who ran a command on the server's machine."
    )
    token: int | None = Field(
        validation_alias="token_id", description="The token's number; null: no token."
    )
    address: str | None = Field(description="Of the request; null: it came from no network.")
    target: str
    detail: str | None


@router.get("")
def get_audit(
    request: Request,
    _grant: Annotated[Grant, Depends(require("admin", every_project=True))],
    *,
    action: Annotated[list[Action], Query()] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    who: Annotated[Text | None, Query(max_length=512)] = None,
    since: Annotated[
        float, Query(ge=0, allow_inf_nan=False, description="Not before; seconds since 1970 UTC.")
    ] = 0.0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AuditAnswer]:
    """Who did what, when and from where, oldest first."""
    with services(request).database.read() as session:
        found = acts(
            session,
            actions=[one.value for one in action],
            who=who,
            since=since,
            after_id=decode_cursor(cursor),
            limit=limit,
        )
    return Page(
        items=[AuditAnswer.model_validate(entry) for entry in found],
        next_cursor=next_cursor([entry.id for entry in found], limit),
    )
