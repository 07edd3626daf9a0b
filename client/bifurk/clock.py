"""The clock seam of the background threads: monotonic seconds, and waiting."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol


class Clock(Protocol):
    """Tells the time and waits; ``bifurk.testing.ManualClock`` is the one for tests."""

    def now(self) -> float:
        """Monotonic seconds from an arbitrary start."""
        ...

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Waits on a condition whose lock the caller holds, until notified or time is up."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """See ``Clock.now``."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """See ``Clock.wait``."""
        condition.wait(min(seconds, threading.TIMEOUT_MAX))


SYSTEM_CLOCK: Final = SystemClock()
