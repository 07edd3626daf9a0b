"""What happened, in order: written with the thing itself, read by the stream."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Event, Project, Run

BESIDE: Final = "beside"
"""What a session's ``info`` holds while others write beside it."""


class OnlyInLineError(RuntimeError):
    """An event was to be written beside others: who reads on by ids would miss one of theirs."""


def append_event(
    session: Session, *, run_id: int, kind: str, data: dict[str, Any], now: float
) -> None:
    """Adds an event; it is seen when the session commits.

    Raises:
        OnlyInLineError: the session writes beside others; do it again in line.
    """
    require_line(session)
    session.add(Event(run_id=run_id, kind=kind, data=data, created_at=now))


def require_line(session: Session) -> None:
    """Before anything is written whose ids are given in the order in which they are seen.

    Raises:
        OnlyInLineError: the session writes beside others.
    """
    if session.info.get(BESIDE):
        raise OnlyInLineError("this is written by one writer at a time")


def last_event_id(session: Session) -> int:
    """The id of the newest event, 0 before the first."""
    return session.scalar(select(func.max(Event.id))) or 0


def events_after(
    session: Session, event_id: int, *, run_id: int | None, project: str | None, limit: int
) -> list[Event]:
    """Events later than this one, oldest first; of one run or project where given."""
    query = select(Event).where(Event.id > event_id).order_by(Event.id).limit(limit)
    if run_id is not None:
        query = query.where(Event.run_id == run_id)
    if project is not None:
        query = (
            query.join(Run, Event.run_id == Run.id)
            .join(Project, Run.project_id == Project.id)
            .where(Project.slug == project)
        )
    return list(session.scalars(query))


def trim_events(session: Session, *, before: float) -> None:
    """Forgets events older than this time."""
    session.execute(delete(Event).where(Event.created_at < before))
