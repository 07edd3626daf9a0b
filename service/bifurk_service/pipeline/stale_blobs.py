"""Deletes what stripped parts have replaced; a blob that cannot go keeps nothing waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.pipeline.leases import Leases
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.leases import Lease, LeaseLostError, check_held
from bifurk_service.store.snapshots import forget_stale_blobs, stale_blobs

log = logging.getLogger("bifurk.service")

LOOK_SECONDS: Final = 1.0
"""Between two looks where nothing is measured."""
AGAIN_SECONDS: Final = 60.0
"""Until what could not be deleted is tried again."""
MOST_SECONDS: Final = 1.0
"""A store that takes longer to say no is away, and not asked again for a while."""
MOST_STUCK: Final = 10_000
"""Blobs remembered to be tried again; the daily look for blobs of nobody finds the others."""


class StaleBlobs:
    """Deletes full values that nothing is measured against any more; for one thread.

    Args:
        database: where parts say what is stale. blobs: where it lies.
        monotonic: the clock of trying again.
    """

    def __init__(
        self, database: Database, blobs: BlobStore, *, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._monotonic = monotonic
        self._forgotten: list[str] = []
        self._stuck: list[str] = []
        self._stuck_until = 0.0
        self._away_until = 0.0
        self._next_look = 0.0
        self._told = False

    def delete_if_due(
        self, leases: Leases, *, measured: bool, of_nobody: bool, read_now: Collection[str]
    ) -> None:
        """Deletes what is stale, except what a worker may be reading.

        Asked for where something was measured, which is how blobs become stale, and else now and
        then: attempts end, alerts let go of what they kept.

        A worker of a process that has lost the attempt finds the stripped part instead, and what it
        returns is not kept.

        Args:
            leases: of the attempts that are this process's.
            measured: whether anything was just now.
            of_nobody: whether attempts that nobody holds are taken for it.
            read_now: keys that workers of this process may be reading.

        Raises:
            StorageError: the database takes nothing now.
        """
        now = self._monotonic()
        if now < self._away_until or not (measured or now >= self._next_look):
            return
        self._next_look = now + LOOK_SECONDS
        with self._database.glance() as session:
            stale = stale_blobs(session, None if of_nobody else leases.held)
        if of_nobody:
            leases.take({blob.attempt_id for blob in stale} - leases.held)
        for attempt_id in {blob.attempt_id for blob in stale} & leases.held:
            free = {
                blob.part_id: blob.key
                for blob in stale
                if blob.attempt_id == attempt_id and blob.key not in read_now
            }
            with suppress(LeaseLostError):
                self._forget(free, leases.of(attempt_id))
        self._delete_forgotten()

    def _forget(self, blobs: Mapping[int, str], lease: Lease) -> None:
        """Before they are deleted: what a crash leaves between the two is swept as an orphan."""
        if not blobs:
            return
        with self._database.write() as session:
            check_held(session, lease)
            still_stale = {blob.part_id for blob in stale_blobs(session, [lease.attempt_id])}
            gone = [part_id for part_id in blobs if part_id in still_stale]
            forget_stale_blobs(session, gone)
        self._forgotten += [blobs[part_id] for part_id in gone]

    def _delete_forgotten(self) -> None:
        now = self._monotonic()
        if now >= self._stuck_until:
            self._forgotten += self._stuck
            self._stuck = []
        keys, self._forgotten = self._forgotten, []
        for place, key in enumerate(keys):
            try:
                self._blobs.delete(key)
            except StorageError as error:
                self._stuck.append(key)
                self._put_off(now, error)
                if self._monotonic() - now >= MOST_SECONDS:
                    self._away_until = self._monotonic() + AGAIN_SECONDS
                    self._stuck += keys[place + 1 :]
                    break
        del self._stuck[MOST_STUCK:]
        if self._told and not self._stuck:
            self._told = False
            log.info("what is replaced can be deleted again")

    def _put_off(self, now: float, error: StorageError) -> None:
        self._stuck_until = max(self._stuck_until, now + AGAIN_SECONDS)
        if not self._told:
            self._told = True
            log.warning("what is replaced stays for now, and is tried again: %s", error.detail)
