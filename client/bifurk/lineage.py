"""The attempts of one watch, one after the other: a training that goes back begins another.

Within the process snapshots are numbered through; each attempt's own sequence begins at 0.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from bifurk.identity import Identity
from bifurk.wire.slug import MAX_SLUG_CHARACTERS

MOST_LIVES: Final = 100
"""Attempts of one watch: a loop that sets its step back again and again is no training resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One attempt of the watch.

    Attributes:
        first: the process's number of its first snapshot.
    """

    identity: Identity
    first: int

    def sequence(self, number: int) -> int:
        """The place on the attempt's own grid of a snapshot by its number in the process."""
        return number - self.first


class Lineage:
    """All lives so far, the last one lived now; thread-safe."""

    def __init__(self, identity: Identity) -> None:
        self._lock = threading.RLock()
        self._lives = [Life(identity=identity, first=0)]

    @property
    def now(self) -> Life:
        """The attempt that snapshots are taken for."""
        return self._lives[-1]

    @property
    def last(self) -> bool:
        """Whether no other may begin."""
        return len(self._lives) >= MOST_LIVES

    def of(self, number: int) -> Life:
        """The attempt that a snapshot belongs to, by its number in the process."""
        with self._lock:
            return next(life for life in reversed(self._lives) if life.first <= number)

    def begin(self, first: int) -> Life:
        """The next attempt; all ranks of a job come to the same name.

        Args:
            first: number of the first snapshot that will be its.
        """
        with self._lock:
            stem = self._lives[0].identity
            life = Life(
                identity=replace(stem, attempt=_name(stem.attempt, len(self._lives) + 1)),
                first=first,
            )
            self._lives.append(life)
            return life


def _name(attempt: str, number: int) -> str:
    word = f".{number}"
    return attempt[: MAX_SLUG_CHARACTERS - len(word)] + word
