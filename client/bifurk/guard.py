"""The wall: nothing of ours raises into the training loop.

Everything the training loop calls after ``watch`` has returned goes through one ``Wall``. It
catches, logs the first failure of a kind with its traceback, and after some failures in a row
lets the monitor switch itself off.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FAILURES_IN_A_ROW: Final = 8
"""Of one call before all is switched off: a fault that repeats this often does not heal itself."""

reraise = False
"""Whether the wall lets exceptions through; for tests, see ``reraising``."""

_log = logging.getLogger("bifurk")


class Wall:
    """Runs calls so that their exceptions stop here; thread-safe.

    ``KeyboardInterrupt`` and ``SystemExit`` are the user's and pass.

    Args:
        failures_in_a_row: of one call before the wall closes; None for never.
    """

    def __init__(self, *, failures_in_a_row: int | None = FAILURES_IN_A_ROW) -> None:
        self._limit = failures_in_a_row
        self._lock = threading.RLock()
        self._in_a_row: Counter[str] = Counter()
        self._repeats: Counter[tuple[str, type[Exception]]] = Counter()
        self._disabled = False

    @property
    def disabled(self) -> bool:
        """Whether calls are no longer made."""
        return self._disabled

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Returns what ``call`` returns, or None when it raised or the wall is closed."""
        if self._disabled:
            return None
        name = getattr(call, "__qualname__", repr(call))
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            self._failed(name, error)
            if reraise:
                raise
            return None
        if self._in_a_row:
            self._succeeded(name)
        return result

    def _succeeded(self, name: str) -> None:
        with self._lock:
            self._in_a_row.pop(name, None)

    def _failed(self, name: str, error: Exception) -> None:
        with self._lock:
            self._in_a_row[name] += 1
            self._repeats[name, type(error)] += 1
            first = self._repeats[name, type(error)] == 1
            closing = self._limit == self._in_a_row[name] and not self._disabled
            self._disabled = self._disabled or closing
            repeats = self._repeats.total()
        if first:
            _log.error(
                "%s failed; training goes on, later failures of this kind are only counted",
                name,
                exc_info=error,
            )
        if closing:
            _log.error("switched off after %d failures, the last in %s", repeats, name)


@contextmanager
def reraising() -> Iterator[None]:
    """Lets exceptions through every wall, after they were counted and logged; for tests."""
    global reraise  # noqa: PLW0603  one switch for every wall of the process, by design
    before, reraise = reraise, True
    try:
        yield
    finally:
        reraise = before
