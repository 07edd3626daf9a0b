"""Tokens: made once, shown once, kept as a digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from bifurk.wire import check_slug
from bifurk_service.errors import ConflictError, InvalidError, NotFoundError
from bifurk_service.store.audit import THE_SERVICE, Action, Actor, record_act
from bifurk_service.store.models import Project, Token
from bifurk_service.store.token_secrets import (
    digest_of,
    fresh_secret,
    is_number,
    is_secret_of,
    parted,
    written,
)

SCOPES: Final[dict[str, frozenset[str]]] = {
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
    "admin": frozenset({"write", "read", "admin"}),
}
"""What a token of each scope may do: a job writes, a dashboard reads, a person does both."""

_FIRST: Final = select(Token.id).limit(1)
_TOKEN: Final = (
    select(Token, Project.slug)
    .outerjoin(Project, Token.project_id == Project.id)
    .where(Token.id == bindparam("token"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a request may do, and in whose name.

    Attributes:
        project: the one project it is confined to, or None for all.
        name, token_id: of its token, or None where none was asked for.
    """

    scopes: frozenset[str]
    project: str | None = None
    name: str | None = None
    token_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSummary:
    """A token as lists show it; times are seconds since 1970 UTC.

    Attributes:
        previous_until: until when the secret before the last rotation is good; None: it is not.
        used_at: within an hour of the last use; None before the first.
    """

    id: int
    name: str
    scope: str
    project: str | None
    created_at: float
    expires_at: float | None
    previous_until: float | None
    used_at: float | None


def create_token(
    session: Session,
    *,
    name: str,
    scope: str,
    project: str | None,
    expires_at: float | None,
    now: float,
    by: Actor = THE_SERVICE,
) -> str:
    """Makes a token and returns it; it cannot be shown again.

    Args:
        scope: a key of ``SCOPES``. project: the only one it reaches, made if it is new, so that
            a project's first run can come with its token; None for all.
        expires_at, now: seconds since 1970 UTC. by: whom the audit log names.

    Raises:
        InvalidError: no such scope, or no name for a project.
    """
    if scope not in SCOPES:
        raise InvalidError(f"scope is one of {', '.join(SCOPES)}, got {scope!r}", where="scope")
    project_id = None if project is None else _project_id(session, project, now)
    secret = fresh_secret()
    token = Token(
        name=name,
        digest=digest_of(secret),
        scope=scope,
        project_id=project_id,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    reach = f"{scope}, {'all projects' if project is None else f'project {project}'}"
    _note(session, by, Action.TOKEN_MADE, token, now=now, detail=reach)
    return written(token.id, secret)


def rotate_token(
    session: Session,
    named: str,
    *,
    grace_seconds: float,
    expires_at: float | None = None,
    now: float,
    by: Actor = THE_SERVICE,
) -> str:
    """Gives a token a new secret and returns the token; it cannot be shown again.

    Scope, project and number stay. A secret that an earlier rotation left good ends.

    Args:
        named: its number, or its name where no other token has it.
        grace_seconds: how long the secret it had stays good; 0: not at all.
        expires_at: its new end (seconds since 1970 UTC); None leaves the one it has.
        by: whom the audit log names.

    Raises:
        NotFoundError: there is none. ConflictError: several, or it has expired and would stay so.
    """
    token = _named(session, named)
    if expires_at is not None:
        token.expires_at = expires_at
    elif token.expires_at is not None and token.expires_at <= now:
        raise ConflictError(f"token {token.id} has expired; give it a new end with --days")
    in_grace = grace_seconds > 0
    token.previous_digest = token.digest if in_grace else None
    token.previous_until = now + grace_seconds if in_grace else None
    secret = fresh_secret()
    token.digest = digest_of(secret)
    session.flush()
    grace = f"the secret before is good for {grace_seconds:g} s"
    _note(session, by, Action.TOKEN_ROTATED, token, now=now, detail=grace)
    return written(token.id, secret)


def _named(session: Session, named: str) -> Token:
    """The token of this number, else the only one of this name."""
    if is_number(named):
        token = session.get(Token, int(named))
        if token is not None:
            return token
    found = session.scalars(select(Token).where(Token.name == named).order_by(Token.id)).all()
    if not found:
        raise NotFoundError(f"no token {named}; `bifurk token ls` lists them")
    if len(found) > 1:
        ids = ", ".join(str(token.id) for token in found)
        raise ConflictError(f"tokens {ids} are called {named}; say which by its number")
    return found[0]


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
            previous_until=token.previous_until,
            used_at=token.used_at,
        )
        for token, project in session.execute(query)
    ]


def revoke_token(session: Session, token_id: int, *, now: float, by: Actor = THE_SERVICE) -> None:
    """Deletes a token.

    Args:
        now: seconds since 1970 UTC. by: whom the audit log names.

    Raises:
        NotFoundError: there is none of this id.
    """
    token = session.get(Token, token_id)
    if token is None:
        raise NotFoundError(f"no token {token_id}; `bifurk token ls` lists them")
    _note(session, by, Action.TOKEN_REVOKED, token, now=now)
    session.execute(delete(Token).where(Token.id == token_id))


def _note(
    session: Session,
    by: Actor,
    action: Action,
    token: Token,
    *,
    now: float,
    detail: str | None = None,
) -> None:
    target = f"token {token.id} ({token.name})"
    record_act(session, by, action, target=target, detail=detail, now=now)


def any_token(session: Session) -> bool:
    """Whether any token was made; from then on every request needs one."""
    return session.scalar(_FIRST) is not None


def find_grant(session: Session, presented: str, *, now: float) -> Grant | None:
    """What a presented token allows, or None when it is unknown or expired."""
    taken_apart = parted(presented)
    if taken_apart is None:
        return None
    token_id, secret = taken_apart
    token, project = session.execute(_TOKEN, {"token": token_id}).one_or_none() or (None, None)
    if not is_secret_of(token, secret, now=now) or token is None:
        return None
    if token.expires_at is not None and token.expires_at <= now:
        return None
    return Grant(scopes=SCOPES[token.scope], project=project, name=token.name, token_id=token.id)
