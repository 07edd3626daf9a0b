"""Blobs that nothing refers to: left by a crash between a blob and its receipt."""

from __future__ import annotations

import logging
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.snapshots import blob_keys

log = logging.getLogger("bifurk.service")

ORPHAN_SECONDS: Final = 3600.0
"""A blob this old and without a receipt will not get one: its request has ended long ago."""


def sweep_orphans(
    database: Database, blobs: BlobStore, *, older_than_seconds: float = ORPHAN_SECONDS
) -> int:
    """Deletes old blobs without a receipt, but for those that cannot be; returns how many."""
    old = blobs.older_than(older_than_seconds)
    with database.read() as session:
        kept = blob_keys(session)
    orphans = [key for key in old if key not in kept]
    stuck = []
    for key in orphans:
        try:
            blobs.delete(key)
        except StorageError as error:
            stuck.append(error.detail)
    deleted = len(orphans) - len(stuck)
    if deleted:
        log.info("%d blobs without a receipt are deleted", deleted)
    if stuck:
        log.warning("%d blobs without a receipt stay; of the first: %s", len(stuck), stuck[0])
    return deleted
