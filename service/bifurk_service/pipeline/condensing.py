"""A little condensing at a time, between other work: figures of long runs are drawn from it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.store.condensing import (
    attempts_of_earlier_versions,
    attempts_to_condense,
    condense,
    condense_anew,
    keep_condensed,
)
from bifurk_service.store.engine import Database

MOST_SECONDS: Final = 0.5
"""Between two looks at what has arrived; a large store of an older version takes many of them."""


def condense_due(
    database: Database,
    *,
    most_seconds: float = MOST_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Condenses what judging has passed, at least one row where one is due.

    Returns:
        How many stretches of snapshots were condensed.
    """
    until = monotonic() + most_seconds
    with database.read() as session:
        earlier = attempts_of_earlier_versions(session)
    for attempt_id in earlier:
        with database.write() as session:
            condense_anew(session, attempt_id)
    with database.read() as session:
        due = attempts_to_condense(session)
    # In chance's order, a row each: what is long never keeps the others waiting for good.
    random.shuffle(due)
    done = 0
    while due:
        for attempt_id in list(due):
            if not _condense_next(database, attempt_id):
                due.remove(attempt_id)
                continue
            done += 1
            if monotonic() >= until:
                return done
    return done


def _condense_next(database: Database, attempt_id: int) -> bool:
    """The reading is the long part, and keeps nobody from writing."""
    with database.read() as session:
        condensed = condense(session, attempt_id)
    if condensed is None:
        return False
    with database.write() as session:
        return keep_condensed(session, attempt_id, condensed)
