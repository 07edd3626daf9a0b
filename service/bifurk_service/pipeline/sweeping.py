"""Blobs that nothing refers to: left by a crash between a blob and its receipt."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.snapshots import known_blobs

log = logging.getLogger("bifurk.service")

ORPHAN_SECONDS: Final = 3600.0
"""A blob this old and without a receipt will not get one: its request has ended long ago."""
SWEEP_SECONDS: Final = 86_400.0
"""Between two looks for blobs of nobody; the first is at the start."""
AT_ONCE: Final = 500
"""Blobs whose receipts are looked up together: what is held of them at a time."""


class Sweeper:
    """Looks for blobs of nobody now and then, in a thread of its own: listing may take long.

    Args:
        database: where the receipts are. blobs: where the blobs are.
        monotonic: the clock of when it is due.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._monotonic = monotonic
        self._next = -math.inf
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin_if_due(self) -> None:
        """Begins to look where it is time to, and returns at once."""
        if self._monotonic() < self._next or self._stopping.is_set():
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._sweep, name="bifurk-sweeper", daemon=True)
        self._thread.start()

    def begin_anew(self) -> None:
        """Says that others have swept meanwhile, or nobody: the next look is due at once."""
        self._next = -math.inf

    def wait(self) -> None:
        """Waits for the look that is under way."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Ends the look that is under way; there is none after it."""
        self._stopping.set()
        self.wait()

    def _sweep(self) -> None:
        try:
            sweep_orphans(self._database, self._blobs, is_stopped=self._stopping.is_set)
        except StorageError as error:
            log.warning("blobs of nobody are looked for again later: %s", error.detail)
        except Exception:
            log.exception("looking for blobs of nobody met an error")
        else:
            self._next = self._monotonic() + SWEEP_SECONDS


def sweep_orphans(
    database: Database,
    blobs: BlobStore,
    *,
    older_than_seconds: float = ORPHAN_SECONDS,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Deletes old blobs without a receipt, but for those that cannot be; returns how many.

    However many there are, a few are held at a time.
    """
    deleted, stuck = 0, []
    for keys in _batches(blobs.older_than(older_than_seconds)):
        if is_stopped():
            break
        with database.read() as session:
            known = known_blobs(session, keys)
        for key in keys:
            if key in known:
                continue
            try:
                blobs.delete(key)
            except StorageError as error:
                stuck.append(error.detail)
            else:
                deleted += 1
    if deleted:
        log.info("%d blobs without a receipt are deleted", deleted)
    if stuck:
        log.warning("%d blobs without a receipt stay; of the first: %s", len(stuck), stuck[0])
    return deleted


def _batches(keys: Iterator[str]) -> Iterator[Sequence[str]]:
    while batch := list(islice(keys, AT_ONCE)):
        yield batch
