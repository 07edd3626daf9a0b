"""How much waits in every queue of the service, and since when; each is a look at an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from bifurk_service.store.condensing import condensable
from bifurk_service.store.deliveries import WAITING
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, AttemptSums, Delivery, Snapshot, StoredPart
from bifurk_service.store.snapshots import MEASURED, RECEIVED

WAITING_STATES: Final = (RECEIVED, MEASURED)
"""Of snapshots: to be measured, to be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits.

    Attributes:
        count: how many. oldest_at: since when the first of them has (seconds since 1970 UTC);
            None where nothing waits.
    """

    count: int = 0
    oldest_at: float | None = None

    def age_seconds(self, now: float) -> float:
        """How long the oldest has waited; 0 where nothing waits, or a clock was set back."""
        return 0.0 if self.oldest_at is None else max(0.0, now - self.oldest_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What parts keep: bytes of their blobs, and how many keep their full values beside."""

    blob_bytes: int
    with_full_values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Of this process to the database: in use now, and at most; None: without a bound."""

    in_use: int
    limit: int | None


def waiting_by_state(session: Session) -> dict[str, Queue]:
    """Snapshots that wait, by what they are: received or measured."""
    rows = session.execute(
        select(Snapshot.state, func.count(), func.min(Snapshot.received_at))
        .where(Snapshot.state.in_(WAITING_STATES))
        .group_by(Snapshot.state)
    )
    found = {state: Queue(count=count, oldest_at=oldest) for state, count, oldest in rows}
    return {state: found.get(state, Queue()) for state in WAITING_STATES}


def waiting_messages(session: Session) -> dict[str, Queue]:
    """Messages that wait to be delivered, by channel; a channel for which none waits is absent."""
    rows = session.execute(
        select(Delivery.channel, func.count(), func.min(Delivery.created_at))
        .where(Delivery.state == WAITING)
        .group_by(Delivery.channel)
    )
    return {name: Queue(count=count, oldest_at=oldest) for name, count, oldest in rows}


def snapshots_to_condense(session: Session) -> int:
    """Snapshots that are judged, and wait to be condensed for figures of long runs."""
    behind = func.sum(Attempt.cursor + 1 - Attempt.condensed)
    return int(session.scalar(select(behind).where(condensable())) or 0)


def kept(session: Session) -> Kept:
    """Of all parts: from the sums of attempts, without the few blobs that wait to go."""
    every = session.scalar(select(func.sum(AttemptSums.blob_bytes))) or 0
    going, stale = session.execute(
        select(func.sum(StoredPart.stale_bytes), func.count()).where(
            StoredPart.stale_key.is_not(None)
        )
    ).one()
    return Kept(blob_bytes=int(every) - int(going or 0), with_full_values=stale)


def connections(database: Database) -> Connections:
    """Of this process; asks nothing of the database."""
    pool = database.engine.pool
    if not isinstance(pool, QueuePool):
        return Connections(in_use=0, limit=None)
    beyond = pool._max_overflow  # noqa: SLF001 - there is no other way to learn of it
    return Connections(
        in_use=pool.checkedout(), limit=pool.size() + beyond if beyond >= 0 else None
    )


def among(queues: Mapping[str, Queue]) -> Queue:
    """Several queues as one."""
    since = [queue.oldest_at for queue in queues.values() if queue.oldest_at is not None]
    return Queue(
        count=sum(queue.count for queue in queues.values()), oldest_at=min(since, default=None)
    )
