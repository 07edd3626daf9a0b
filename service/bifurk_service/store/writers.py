"""Whose an attempt is: the process that is heard of first under its name, and no other."""

from __future__ import annotations

from typing import Final

from sqlalchemy import update
from sqlalchemy.orm import Session

from bifurk_service.errors import ConflictError
from bifurk_service.store.models import Attempt

WRITER_HEADER: Final = "Bifurk-Writer"
"""What all processes of one job, and no others, say of themselves with every request."""


class AttemptTakenError(ConflictError):
    """Another job sends to this attempt; nothing was stored."""

    title = "Attempt taken"


def claim(session: Session, attempt: Attempt, writer: str | None) -> None:
    """Makes an attempt the writer's where it is nobody's; a request without a writer may be anyone.

    Of two that come at once, on PostgreSQL, one waits for the other's commit and sees its name.

    Raises:
        AttemptTakenError: it is another's.
    """
    if writer is None:
        return
    if attempt.writer is None:
        nobodys = (Attempt.id == attempt.id) & Attempt.writer.is_(None)
        session.execute(update(Attempt).where(nobodys).values(writer=writer))
        session.refresh(attempt, ["writer"])
    check_writer(attempt.slug, attempt.writer, writer)


def check_writer(attempt: str, owner: str | None, writer: str | None) -> None:
    """Raises ``AttemptTakenError`` where an attempt is another writer's; None may be anyone."""
    if None not in (owner, writer) and owner != writer:
        raise AttemptTakenError(
            f"attempt {attempt} belongs to another process ({owner}, this one is "
            f"{writer}); each start of a training is an attempt of its own: leave BIFURK_ATTEMPT "
            "unset, or set another one for every start",
            where=WRITER_HEADER,
        )
