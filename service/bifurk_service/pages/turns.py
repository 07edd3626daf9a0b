"""Few pages at a time: people who look must not keep out the trainings that report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
from fastapi import Request

from bifurk_service.errors import BusyError

AT_ONCE: Final = 4
MOST_WAITING: Final = 40
RETRY_SECONDS: Final = 5


class Turns:
    """Who builds a page now, and who waits; a waiting request holds no thread."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    def limiter(self) -> anyio.CapacityLimiter:
        """Of the running event loop."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        return self._limiter


async def in_turn(request: Request) -> AsyncIterator[None]:
    """A dependency: waits for one of a few turns.

    Raises:
        BusyError: too many wait already.
    """
    turns: Turns = request.app.state.turns
    limiter = turns.limiter()
    if limiter.statistics().tasks_waiting >= MOST_WAITING:
        raise BusyError(
            f"{MOST_WAITING} pages and figures wait to be drawn",
            retry_after_seconds=RETRY_SECONDS,
            reason="pages_busy",
        )
    borrower = object()  # not the task: one may serve several requests
    await limiter.acquire_on_behalf_of(borrower)
    try:
        yield
    finally:
        limiter.release_on_behalf_of(borrower)
