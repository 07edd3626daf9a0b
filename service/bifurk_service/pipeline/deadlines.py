"""How long snapshots have waited for what is missing, by this process's own clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from bifurk_service.store.models import Snapshot


class Deadlines:
    """Since when each waits; a wall clock that is set back must not stop a run.

    Args:
        seconds: how long what is missing is waited for. monotonic: the clock.
    """

    def __init__(self, seconds: float, *, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._first_seen: dict[int, dict[int, float]] = {}

    def keep(self, attempt_ids: Collection[int]) -> None:
        """Forgets all attempts but these."""
        self._first_seen = {one: self._first_seen.get(one, {}) for one in attempt_ids}

    def passed(self, attempt_id: int, waiting: Sequence[Snapshot]) -> set[int]:
        """Sequences of what waits of an attempt, and has waited long enough."""
        now = self._monotonic()
        known = self._first_seen.get(attempt_id, {})
        seen = {snapshot.id: known.get(snapshot.id, now) for snapshot in waiting}
        self._first_seen[attempt_id] = seen
        return {
            snapshot.sequence for snapshot in waiting if now - seen[snapshot.id] > self._seconds
        }
