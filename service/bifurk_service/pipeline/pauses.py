"""The pauses of the pipeline's thread: until something comes, or it is time to look again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bifurk_service.pipeline.duties import unless_it_fails


class Pauses:
    """What can wait is done in them, a little at a time.

    Args:
        seconds: how long one lasts when nothing comes.
        do_a_little: of what can wait; says whether more is left.
        monotonic: the clock.
    """

    def __init__(
        self,
        seconds: float,
        *,
        do_a_little: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._seconds = seconds
        self._do_a_little = do_a_little
        self._monotonic = monotonic
        self._ended = threading.Event()

    def end(self) -> None:
        """Ends the pause, or the next one, at once; from any thread."""
        self._ended.set()

    def pause(self, *, has_time: bool) -> None:
        """Returns when it has ended.

        Args:
            has_time: whether something may be done in it.
        """
        until = self._monotonic() + self._seconds
        if has_time:
            unless_it_fails(lambda: self._use(until))
        self._ended.wait(max(0.0, until - self._monotonic()))
        self._ended.clear()

    def _use(self, until: float) -> None:
        while not self._ended.is_set() and self._monotonic() < until and self._do_a_little():
            pass
