"""Whose turn it is: which attempts a round looks at, and in which order workers go to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Final

SHARE_OF_LOOKING: Final = 0.1
"""Of the time, at most, goes into looking at attempts of which nothing is known to be new."""


class Turns:
    """Attempts that wait for something, those first that workers have gone to longest ago.

    While all workers are busy a round looks only at those of which something is new: a server with
    a thousand runs in its queue must not read all of them for each snapshot that is measured. Every
    now and then it looks at all, for what is new by the passing of time.

    Args:
        every_seconds: between two looks at all, or longer, where that takes long.
        monotonic: the clock of it.
    """

    def __init__(self, *, every_seconds: float, monotonic: Callable[[], float]) -> None:
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._next_of_all = -math.inf
        self._waiting: frozenset[int] = frozenset()
        self._news: set[int] = set()
        self._served: dict[int, int] = {}
        self._count = 0

    def note_news(self, attempt_ids: Collection[int]) -> None:
        """Says of which something has come back; they are looked at whoever is busy."""
        self._news.update(attempt_ids)

    def note_served(self, attempt_id: int) -> None:
        """Says that a worker has gone to one: its next turn is after the others'."""
        self._count += 1
        self._served[attempt_id] = self._count

    def of_round(self, waiting: Collection[int], *, room: Callable[[], bool]) -> Iterator[int]:
        """The attempts to look at, each when its turn has come.

        Args:
            waiting: those that wait for something; one that did not the last time counts as new.
            room: whether a worker is free, asked again before each.
        """
        started = self._monotonic()
        all_of_them = started >= self._next_of_all
        now = frozenset(waiting)
        self._news = (self._news | (now - self._waiting)) & now
        self._waiting = now
        self._served = {one: turn for one, turn in self._served.items() if one in now}
        for one in sorted(now, key=lambda one: (self._served.get(one, 0), one)):
            if all_of_them or one in self._news or room():
                yield one
                self._news.discard(one)
        if all_of_them:
            ended = self._monotonic()
            pause = max(self._every_seconds, (ended - started) / SHARE_OF_LOOKING)
            self._next_of_all = ended + pause
