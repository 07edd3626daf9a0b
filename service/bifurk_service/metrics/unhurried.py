"""A reading that takes longer the more is stored, taken the more seldom for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Read = TypeVar("Read")

SHARE: Final = 0.01
"""Of the time that such a reading may take, however often is asked."""
LONGEST_SECONDS: Final = 3_600.0
"""No reading is good for longer: it may have been held up, by a machine that slept, say."""


class Unhurried(Generic[Read]):
    """Remembers the last reading for a hundred times as long as it took, an hour at the most.

    Args:
        monotonic: a clock (seconds).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: tuple[Read, float] | None = None
        """What was read, and until when it is good enough."""

    def read(self, reading: Callable[[], Read]) -> Read:
        """The last reading, or a new one where that is old."""
        with self._lock:
            if self._last is not None and self._monotonic() < self._last[1]:
                return self._last[0]
        started = self._monotonic()
        found = reading()
        ended = self._monotonic()
        with self._lock:
            self._last = (found, ended + min((ended - started) / SHARE, LONGEST_SECONDS))
        return found
