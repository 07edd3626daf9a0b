"""Completes the removal of runs, a little at a time; what a crash interrupts is taken up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.removal import forget_parts, next_blobs, remove_rows, runs_to_remove

log = logging.getLogger("bifurk.service")

MOST_SECONDS: Final = 0.5
"""Between two looks at what has arrived."""


def remove_due(
    database: Database,
    blobs: BlobStore,
    *,
    now: float,
    most_seconds: float = MOST_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Goes on with every removal that is not complete (now: seconds since 1970 UTC).

    A run with a blob that cannot be deleted keeps no other waiting.
    """
    until = monotonic() + most_seconds
    with database.read() as session:
        due = runs_to_remove(session, now=now)
    for run_id in due:
        try:
            if not remove_run(database, blobs, run_id, until=until, monotonic=monotonic):
                return
        except StorageError as error:
            log.warning("run %s is not removed yet: %s", run_id, error.detail)


def remove_run(
    database: Database,
    blobs: BlobStore,
    run_id: int,
    *,
    until: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """Deletes blobs, then rows, of a hidden run until a time on the clock; whether all are gone."""
    while True:
        with database.read() as session:
            part_ids, keys = next_blobs(session, run_id)
        if not part_ids:
            break
        for key in keys:
            blobs.delete(key)
        with database.write() as session:
            forget_parts(session, part_ids)
        if monotonic() >= until:
            return False
    more = True
    while more:
        with database.write() as session:
            more = remove_rows(session, run_id)
        if more and monotonic() >= until:
            return False
    return True
