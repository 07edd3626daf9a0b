"""Whom a change is put down to."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request

from bifurk_service.store.alert_history import SERVICE
from bifurk_service.store.audit import Action, Actor, record_act
from bifurk_service.store.engine import Session
from bifurk_service.store.tokens import Grant

ANONYMOUS: Final = "anonymous"
"""Who changed something on a server that asks for no token."""


def who(grant: Grant) -> str:
    """Whom a change is put down to; a token's name passes for nothing but a token's."""
    if grant.name is None:
        return ANONYMOUS
    return f"token {grant.name}" if grant.name in (ANONYMOUS, SERVICE) else grant.name


def note_act(
    request: Request,
    session: Session,
    grant: Grant,
    action: Action,
    target: str,
    detail: str | None = None,
) -> None:
    """Writes what a request does into the audit log, in the session that does it."""
    actor = Actor(
        who=who(grant),
        token_id=grant.token_id,
        address=None if request.client is None else request.client.host,
    )
    record_act(session, actor, action, target=target, detail=detail, now=time.time())
