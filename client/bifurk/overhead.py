"""How much of the training time the watching costs: the stopwatch behind the budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Overhead:
    """Adds up the stall of the training thread and the background's processor time.

    On an accelerator the time the device itself spends counting is not in it.

    Args:
        background_seconds: processor time of the background threads so far.
        now: monotonic seconds.
    """

    def __init__(
        self, *, background_seconds: Callable[[], float], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._background_seconds = background_seconds
        self._now = now
        self._started: float | None = None
        self._stall_seconds = 0.0

    def start(self) -> None:
        """Training begins; later calls change nothing."""
        if self._started is None:
            self._started = self._now()

    @property
    def elapsed_seconds(self) -> float:
        """Of training so far; 0 before it began."""
        return 0.0 if self._started is None else self._now() - self._started

    @property
    def cost_seconds(self) -> float:
        """Of all snapshots so far."""
        return self._stall_seconds + self._background_seconds()

    @property
    def ratio(self) -> float | None:
        """Cost over elapsed time; None before training began."""
        elapsed = self.elapsed_seconds
        return self.cost_seconds / elapsed if elapsed > 0 else None

    @contextmanager
    def stall(self) -> Iterator[None]:
        """Measures the time the training thread spends inside."""
        began = self._now()
        try:
            yield
        finally:
            self._stall_seconds += self._now() - began


class ThreadTime:
    """Processor time of one thread, as the thread itself last said."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def tell(self) -> None:
        """To be called on that thread."""
        self.seconds = time.thread_time()
