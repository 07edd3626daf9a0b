"""Whose an attempt is: the process that is heard of first under its name, and no other."""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from bifurk.wire import Manifest
from bifurk_service.errors import ConflictError
from bifurk_service.store.models import Attempt
from bifurk_service.store.runs import find_attempt

WRITER_HEADER: Final = "Bifurk-Writer"
"""What all processes of one job, and no others, say of themselves with every request."""


class AttemptTakenError(ConflictError):
    """Another job sends to this attempt; nothing was stored."""

    title = "Attempt taken"


def claim(attempt: Attempt, writer: str | None) -> None:
    """Makes an attempt the writer's where it is nobody's; a request without a writer may be anyone.

    Raises:
        AttemptTakenError: it is another's.
    """
    if writer is None:
        return
    if attempt.writer is None:
        attempt.writer = writer
    elif attempt.writer != writer:
        raise AttemptTakenError(
            f"attempt {attempt.slug} belongs to another process ({attempt.writer}, this one is "
            f"{writer}); each start of a training is an attempt of its own: leave BIFURK_ATTEMPT "
            "unset, or set another one for every start",
            where=WRITER_HEADER,
        )


def check_writer(session: Session, manifest: Manifest, writer: str | None) -> None:
    """Raises ``AttemptTakenError`` where a part's attempt is another writer's."""
    attempt = find_attempt(
        session, project=manifest.project, run=manifest.run, attempt=manifest.attempt
    )
    if attempt is not None and attempt.writer is not None:
        claim(attempt, writer)
