"""The audit log: who did what to what, when and from where; written with the act itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bifurk_service.store.alert_history import SERVICE
from bifurk_service.store.models import AuditEntry

MOST_ADDRESS_CHARACTERS: Final = 64
MOST_DETAIL_CHARACTERS: Final = 1000


class Action(StrEnum):
    """What is written down: whatever a person or a job changes, but the snapshots themselves."""

    TOKEN_MADE = "token_made"  # noqa: S105 - a word
    TOKEN_ROTATED = "token_rotated"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    RUN_MADE = "run_made"
    RUN_CHANGED = "run_changed"
    RUN_DELETED = "run_deleted"
    RUN_EXPORTED = "run_exported"
    RUN_IMPORTED = "run_imported"
    PIN_ADDED = "pin_added"
    PIN_REMOVED = "pin_removed"
    TAG_ADDED = "tag_added"
    TAG_REMOVED = "tag_removed"
    SERIES_IMPORTED = "series_imported"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_RESOLVED = "alert_resolved"
    REPLAY_KEPT = "replay_kept"
    CHANNEL_TESTED = "channel_tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts.

    Attributes:
        who: a token's name, ``anonymous``, ``bifurk`` itself, or at the command line the user.
        token_id: the token's number; None: none was asked for.
        address: where the request came from; None: from no network.
    """

    who: str
    token_id: int | None = None
    address: str | None = None


THE_SERVICE: Final = Actor(who=SERVICE)
"""Who deletes runs that are past their retention."""


def record_act(
    session: Session,
    actor: Actor,
    action: Action,
    *,
    target: str,
    now: float,
    detail: str | None = None,
) -> None:
    """Adds an entry, kept if the act is.

    Args:
        target: what it was done to, in words. detail: what else is worth knowing; never a secret.
    """
    session.add(
        AuditEntry(
            at=now,
            action=action.value,
            who=actor.who,
            token_id=actor.token_id,
            address=None if actor.address is None else actor.address[:MOST_ADDRESS_CHARACTERS],
            target=target,
            detail=None if detail is None else detail[:MOST_DETAIL_CHARACTERS],
        )
    )


def acts(
    session: Session,
    *,
    actions: Sequence[str] = (),
    who: str | None = None,
    since: float = 0.0,
    after_id: int = 0,
    limit: int,
) -> list[AuditEntry]:
    """Entries in the order they were written.

    Args:
        actions, who: only these; all where empty or None. since: seconds since 1970 UTC.
    """
    query = (
        select(AuditEntry)
        .where(AuditEntry.id > after_id, AuditEntry.at >= since)
        .order_by(AuditEntry.id)
        .limit(limit)
    )
    if actions:
        query = query.where(AuditEntry.action.in_(actions))
    if who is not None:
        query = query.where(AuditEntry.who == who)
    return list(session.scalars(query))


def trim_acts(session: Session, *, before: float) -> None:
    """Forgets entries older than this time."""
    session.execute(delete(AuditEntry).where(AuditEntry.at < before))
