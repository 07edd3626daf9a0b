"""Tokens and their scopes; loopback is open as long as there is no token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from bifurk_service.access.allowances import Allowances
from bifurk_service.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from bifurk_service.logs import current_request
from bifurk_service.services import services
from bifurk_service.store.tokens import SCOPES, Grant, any_token, find_grant

ANYONE = Grant(scopes=SCOPES["admin"])
COOKIE = "bifurk_token"
"""In which a browser that signed in keeps its token: only this server's own pages send it."""

Credentials = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(
        HTTPBearer(
            scheme_name="token", description="A token of `bifurk token create`.", auto_error=False
        )
    ),
]


def require(scope: str, *, every_project: bool = False) -> Callable[..., Grant]:
    """A dependency that lets a request pass only if its token has this scope; gives its grant.

    A token that has used up its minute is turned away before its scope is looked at.

    Args:
        scope: write, read or admin.
        every_project: whether a token that is confined to one project is turned away.
    """

    def check(request: Request, credentials: Credentials, afterwards: BackgroundTasks) -> Grant:
        grant = _grant(request, credentials)
        if grant.token_id is not None:
            _note_token(grant.token_id)
            _allowances(request).take(grant.token_id)
        if scope not in grant.scopes:
            needed = "admin" if scope == "admin" else f"{scope} or admin"
            raise ForbiddenError(f"this needs a token of scope {needed}")
        if every_project and grant.project is not None:
            raise ForbiddenError(
                "this is of all projects, and the token is confined to one", reason="project"
            )
        _note_use(request, grant, afterwards)
        return grant

    return check


def check_project(grant: Grant, project: str) -> None:
    """Raises ``NotFoundError`` when a grant is confined to another project.

    The same answer as for something that is not there: a token does not tell what else exists.
    """
    if grant.project not in (None, project):
        raise NotFoundError(
            "nothing of that name or number that this token may see", reason="project"
        )


def note_upload(request: Request, grant: Grant, size_bytes: int) -> None:
    """Counts what a request brought against its token's minute; the next one may be turned away."""
    if grant.token_id is not None:
        _allowances(request).charge(grant.token_id, size_bytes)


def _note_token(token_id: int) -> None:
    """Lines about the request name the token by its number from here on."""
    record = current_request()
    if record is not None:
        record.token_id = token_id


def _allowances(request: Request) -> Allowances:
    allowances: Allowances = request.app.state.allowances
    return allowances


def _note_use(request: Request, grant: Grant, afterwards: BackgroundTasks) -> None:
    """Has it written down, now and then, once the request is answered."""
    uses, now = services(request).token_uses, time.time()
    if grant.token_id is not None and uses.is_due(grant.token_id, now=now):
        afterwards.add_task(uses.write, grant.token_id, now=now)


def _grant(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Grant:
    house = services(request)
    token = credentials.credentials if credentials else request.cookies.get(COOKIE)
    with house.database.glance() as session:
        grant = None if token is None else find_grant(session, token.strip(), now=time.time())
        if grant is not None:
            return grant
        if house.settings.on_loopback and not any_token(session):
            return ANYONE
    raise UnauthenticatedError(
        "send `Authorization: Bearer TOKEN`; `bifurk token create` makes one, "
        "clients read it from BIFURK_TOKEN",
        reason="token_missing" if token is None else "token_unknown",
    )
