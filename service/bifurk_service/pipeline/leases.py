"""Which attempts are this process's to move on, shared fairly among those that run a pipeline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from bifurk_service.pipeline.presence import Presence
from bifurk_service.store import leases as store
from bifurk_service.store.engine import Database
from bifurk_service.store.leases import Lease

PATIENCE_SECONDS: Final = 3.0
"""How long a process keeps more than its share: what is done in a moment is not worth moving."""


class Leases:
    """The attempts that this process holds; for one thread.

    Args:
        database: where it is written down. presence: as whom. monotonic: its own clock.
    """

    def __init__(
        self,
        database: Database,
        presence: Presence,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._presence = presence
        self._monotonic = monotonic
        self._held: dict[int, Lease] = {}
        self._wanted_at: dict[int, float] = {}
        self._too_many = 0
        self._too_many_since: float | None = None

    @property
    def held(self) -> frozenset[int]:
        """The attempts that are this process's."""
        return frozenset(self._held)

    def of(self, attempt_id: int) -> Lease:
        """The lease on an attempt.

        Raises:
            LeaseLostError: it is not this process's.
        """
        lease = self._held.get(attempt_id)
        if lease is None:
            raise store.LeaseLostError(f"attempt {attempt_id} is not this process's")
        return lease

    def look(self) -> list[int]:
        """Takes of what waits and is free what is missing to this process's share.

        Returns:
            The attempts that are its own and wait for something.

        Raises:
            StorageError: the database takes nothing now.
        """
        number = self._presence.number()
        own = [lease for lease in self._held.values() if lease.holder == number]
        with self._database.glance() as session:
            found = store.what_waits(session)
            asleep = [lease for lease in own if lease.attempt_id not in found.attempts]
            still = store.still_held(session, asleep)
        self._forget(self.held - still - {lease.attempt_id for lease in found.leases & {*own}})
        self._take_up(lease for lease in found.leases if lease.holder == number)
        mine = [one for one in found.attempts if one in self._held]
        share = self._share(len(found.attempts), capacity=found.capacity)
        self._note_excess(len(mine) - share)
        mine += self._take(number, found.free[: max(0, share - len(mine))])
        self._wanted_at.update(dict.fromkeys(mine, self._monotonic()))
        return mine

    def take(self, attempt_ids: Collection[int]) -> None:
        """Takes those of these attempts that nobody holds, whatever the share.

        Raises:
            StorageError: the database takes nothing now.
        """
        if not attempt_ids:
            return
        with self._database.glance() as session:
            free = store.free_of(session, attempt_ids)
        taken = self._take(self._presence.number(), free)
        self._wanted_at.update(dict.fromkeys(taken, self._monotonic()))

    def too_many(self) -> int:
        """How many of its waiting attempts are others' by rights, if they have been for a while."""
        since = self._too_many_since
        lasts = since is not None and self._monotonic() - since >= PATIENCE_SECONDS
        return self._too_many if lasts else 0

    def idle(self, seconds: float) -> list[int]:
        """What is held and has not waited for anything for so long."""
        now = self._monotonic()
        return [one for one in self._held if now - self._wanted_at[one] > seconds]

    def give_back(self, attempt_ids: Collection[int]) -> None:
        """Frees attempts for others.

        Raises:
            StorageError: the database takes nothing now; they are this process's as before.
        """
        leases = [self._held[one] for one in attempt_ids if one in self._held]
        if leases:
            with self._database.write(in_line=False) as session:
                store.give_back(session, leases)
        self._forget(attempt_ids)

    def _take(self, number: int, free: Collection[int]) -> list[int]:
        wanted = [one for one in free if one not in self._held]
        if not wanted:
            return []
        with self._database.write(in_line=False) as session:
            taken = store.take(session, number, wanted)
        self._held.update({lease.attempt_id: lease for lease in taken})
        return [lease.attempt_id for lease in taken]

    def _take_up(self, leases: Iterable[Lease]) -> None:
        """Those taken in a transaction that went through although it was said to have failed."""
        for lease in leases:
            self._held.setdefault(lease.attempt_id, lease)

    def _forget(self, attempt_ids: Collection[int]) -> None:
        for one in attempt_ids:
            self._held.pop(one, None)
            self._wanted_at.pop(one, None)

    def _share(self, waiting: int, *, capacity: int) -> int:
        """By how much each process measures at once; rounded up, so that nothing is nobody's."""
        own = self._presence.capacity
        return math.ceil(waiting * own / max(capacity, own))

    def _note_excess(self, excess: int) -> None:
        self._too_many = max(0, excess)
        if excess <= 0:
            self._too_many_since = None
        elif self._too_many_since is None:
            self._too_many_since = self._monotonic()
