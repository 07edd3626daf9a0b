"""What each token may do in a minute: so many requests, so many bytes of uploads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.errors import TooManyError

MINUTE_SECONDS: Final = 60.0


class Allowances:
    """Counts by token; safe to call from any thread. Where there is no limit nothing is counted.

    Args:
        requests_per_minute, bytes_per_minute: of each token; None: no limit.
        monotonic: a clock (seconds).
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        bytes_per_minute: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._requests = None if requests_per_minute is None else _Minutes(requests_per_minute)
        self._bytes = None if bytes_per_minute is None else _Minutes(bytes_per_minute)

    def take(self, token_id: int) -> None:
        """Takes a request of a token's minute.

        Raises:
            TooManyError: no request is left, or more bytes came than a minute has.
        """
        now = self._monotonic()
        with self._lock:
            if self._bytes is not None:
                wait = self._bytes.seconds_until(token_id, 0.0, now)
                _check(wait, f"{self._bytes.size} bytes of uploads a minute", "bytes_limit")
            if self._requests is not None:
                wait = self._requests.seconds_until(token_id, 1.0, now)
                _check(wait, f"{self._requests.size} requests a minute", "requests_limit")
                self._requests.take(token_id, 1.0, now)

    def charge(self, token_id: int, size_bytes: int) -> None:
        """Takes bytes that came; more than are left put the token's next minutes into debt."""
        if self._bytes is not None:
            with self._lock:
                self._bytes.take(token_id, float(size_bytes), self._monotonic())


class _Minutes:
    """A bucket a token: holds a minute's worth, fills evenly, may be emptied below nothing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._per_second = size / MINUTE_SECONDS
        self._levels: dict[int, tuple[float, float]] = {}
        """By token what was left, and when."""

    def seconds_until(self, token_id: int, amount: float, now: float) -> float:
        """How long until at least this much is left; 0: now."""
        return max(0.0, (amount - self._level(token_id, now)) / self._per_second)

    def take(self, token_id: int, amount: float, now: float) -> None:
        self._levels[token_id] = (self._level(token_id, now) - amount, now)

    def _level(self, token_id: int, now: float) -> float:
        level, then = self._levels.get(token_id, (float(self.size), now))
        return min(float(self.size), level + (now - then) * self._per_second)


def _check(wait_seconds: float, allowed: str, reason: str) -> None:
    if wait_seconds > 0:
        raise TooManyError(
            f"this token has {allowed}, and has used them up; send the same again later",
            retry_after_seconds=math.ceil(wait_seconds),
            reason=reason,
        )
