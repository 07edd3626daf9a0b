"""When the next sign of life is due, and when one asks for news of a snapshot."""

from __future__ import annotations

import math
from typing import Final

FIRST_QUESTION_SECONDS: Final = 2.0
"""After a snapshot that somebody waits for news of: a small one is judged by then."""
TIMES_LATER: Final = 2
"""The next question comes after so many times as long."""


class Heartbeats:
    """Times of heartbeats on a monotonic clock; not thread-safe but for ``listening``.

    Regular ones come every ``every_seconds``. Where somebody listens, some come soon after a
    snapshot as well (2, 6, 14, 30 s), because only an answer brings what the server finds in it.

    Args:
        every_seconds: between two regular ones; infinite for none. now: of the clock.
    """

    def __init__(self, every_seconds: float, now: float) -> None:
        self._every = every_seconds
        self._regular = now + every_seconds
        self._question = math.inf
        self._pause = FIRST_QUESTION_SECONDS
        self.listening = False

    @property
    def due(self) -> float:
        """When the next one is due."""
        return min(self._regular, self._question)

    def delivered(self, now: float) -> None:
        """The server has a snapshot, and will judge it."""
        if self.listening and self._every < math.inf:
            self._pause = FIRST_QUESTION_SECONDS
            self._question = now + self._pause

    def beaten(self, now: float) -> None:
        """One was sent, or tried."""
        self._regular = now + self._every
        self._pause *= TIMES_LATER
        asked = self._question <= now
        self._question = now + self._pause if asked and self._pause < self._every else math.inf
