"""Tokens: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bifurk.wire import check_slug
from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.store.models import Project, Token

SCOPES: Final[dict[str, frozenset[str]]] = {
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
    "admin": frozenset({"write", "read", "admin"}),
}
"""What a token of each scope may do: a job writes, a dashboard reads, a person does both."""

SECRET_BYTES: Final = 32
PREFIX: Final = "bifurk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a request may do, and in whose name.

    Attributes:
        project: the one project it is confined to, or None for all.
        name: of its token, or None where none was asked for.
    """

    scopes: frozenset[str]
    project: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSummary:
    """A token as lists show it; times are seconds since 1970 UTC."""

    id: int
    name: str
    scope: str
    project: str | None
    created_at: float
    expires_at: float | None


def create_token(
    session: Session,
    *,
    name: str,
    scope: str,
    project: str | None,
    expires_at: float | None,
    now: float,
) -> str:
    """Makes a token and returns it; it cannot be shown again.

    Args:
        scope: a key of ``SCOPES``. project: the only one it reaches, made if it is new, so that
            a project's first run can come with its token; None for all.
        expires_at, now: seconds since 1970 UTC.

    Raises:
        InvalidError: no such scope, or no name for a project.
    """
    if scope not in SCOPES:
        raise InvalidError(f"scope is one of {', '.join(SCOPES)}, got {scope!r}", where="scope")
    project_id = None if project is None else _project_id(session, project, now)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    token = Token(
        name=name,
        digest=_digest(secret),
        scope=scope,
        project_id=project_id,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    return f"{PREFIX}_{token.id}_{secret}"


def _project_id(session: Session, slug: str, now: float) -> int:
    try:
        check_slug(slug, "project")
    except ValueError as error:
        raise InvalidError(str(error), where="project") from None
    project = session.scalar(select(Project).where(Project.slug == slug))
    if project is None:
        project = Project(slug=slug, created_at=now)
        session.add(project)
        session.flush()
    return project.id


def list_tokens(session: Session) -> list[TokenSummary]:
    """Every token, oldest first; secrets are not among what is kept."""
    query = (
        select(Token, Project.slug)
        .outerjoin(Project, Token.project_id == Project.id)
        .order_by(Token.id)
    )
    return [
        TokenSummary(
            id=token.id,
            name=token.name,
            scope=token.scope,
            project=project,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
        for token, project in session.execute(query)
    ]


def revoke_token(session: Session, token_id: int) -> None:
    """Deletes a token.

    Raises:
        NotFoundError: there is none of this id.
    """
    if session.get(Token, token_id) is None:
        raise NotFoundError(f"no token {token_id}; `bifurk token ls` lists them")
    session.execute(delete(Token).where(Token.id == token_id))


def any_token(session: Session) -> bool:
    """Whether any token was made; from then on every request needs one."""
    return session.scalar(select(Token.id).limit(1)) is not None


def find_grant(session: Session, presented: str, *, now: float) -> Grant | None:
    """What a presented token allows, or None when it is unknown or expired."""
    prefix, _, rest = presented.partition("_")
    number, _, secret = rest.partition("_")
    if prefix != PREFIX or not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    token = session.get(Token, int(number))
    expected = token.digest if token is not None else _digest("")
    if not hmac.compare_digest(expected, _digest(secret)) or token is None:
        return None
    if token.expires_at is not None and token.expires_at <= now:
        return None
    project = None
    if token.project_id is not None:
        project = session.scalars(select(Project.slug).where(Project.id == token.project_id)).one()
    return Grant(scopes=SCOPES[token.scope], project=project, name=token.name)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
