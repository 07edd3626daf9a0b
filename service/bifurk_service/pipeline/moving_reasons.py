"""Reasons that an earlier version wrote into every row, moved a little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bifurk_service.store.engine import Database
from bifurk_service.store.reasons import any_to_move, move_some

MOST_SECONDS: Final = 0.5
"""Between two looks at what has arrived; a large store takes many of them."""


def move_reasons(
    database: Database,
    *,
    most_seconds: float = MOST_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Moves some rows' reasons where any are left, in small transactions, at least one."""
    until = monotonic() + most_seconds
    with database.read() as session:
        left = any_to_move(session)
    while left:
        with database.write() as session:
            left = move_some(session)
        if monotonic() >= until:
            return
