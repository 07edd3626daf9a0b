"""Brings an archived run in: hidden, in small transactions, and shown when it is whole."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bifurk.wire.slug import check_slug
from bifurk_service.archives.checking import check_rows
from bifurk_service.archives.reading import ArchiveReader
from bifurk_service.detect.renumbering import piece_with_tensor_ids, with_tensor_ids
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.errors import InvalidError
from bifurk_service.pipeline.removing import remove_run
from bifurk_service.store.audit import Action, Actor, record_act
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.coming_rows import Coming, Renumbering
from bifurk_service.store.coming_runs import LAST, begin_coming, bring_in, check_free, end_coming
from bifurk_service.store.engine import Database
from bifurk_service.store.whole_runs import Row

MOST_LAST_ROWS: Final = 200_000
"""Alerts, their histories and directives, which come in the last transaction."""
PARTS_AT_ONCE: Final = 16
"""Whose blobs come before their rows do: long before a blob without a row counts as nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What came of it: the run's id and names, and how many rows and blobs it has."""

    run_id: int
    project: str
    run: str
    rows: int
    blobs: int


def bring_run(
    database: Database,
    blobs: BlobStore,
    path: Path,
    *,
    run: str | None,
    project: str | None,
    by: Actor,
    clock: Callable[[], float] = time.time,
) -> Brought:
    """Makes a run of an archive; whatever goes wrong leaves nothing behind.

    Args:
        database: written in small transactions. blobs: where the parts go.
        path: of the archive. run, project: other names than it has.
        by: whom the audit log names. clock: seconds since 1970 UTC.

    Raises:
        InvalidError: the file is no archive, of another version, damaged, or contradicts itself.
        ConflictError: a run of this name is there.
        StorageError: the database or the disk takes no more.
    """
    with ArchiveReader(path) as archive:
        row = _named(archive.manifest, run=run, project=project)
        with database.read() as session:
            check_free(session, row["project"], row["run"])
        with database.write() as session:
            coming = begin_coming(
                session, row, token=uuid4().hex, renumbered=RENUMBERED, now=clock()
            )
        try:
            return _Bringing(database, blobs, archive, coming, row, clock).all(by)
        except BaseException:
            remove_run(database, blobs, coming.run_id, until=math.inf)
            raise


class _Bringing:
    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        archive: ArchiveReader,
        coming: Coming,
        row: Row,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._store = blobs
        self._archive = archive
        self._coming = coming
        self._row = row
        self._clock = clock
        self._blobs = 0

    def all(self, by: Actor) -> Brought:
        count = 0
        last: list[tuple[str, list[Row]]] = []
        for name, rows in self._archive.chunks():
            check_rows(name, rows)
            count += len(rows)
            if name in LAST:
                last.append((name, rows))
                if sum(len(one) for _, one in last) > MOST_LAST_ROWS:
                    raise InvalidError(f"more than {MOST_LAST_ROWS} alerts, changes and directives")
                continue
            at_once = PARTS_AT_ONCE if name == "parts" else len(rows)
            for first in range(0, len(rows), max(1, at_once)):
                self._bring(name, rows[first : first + at_once])
        project, run = self._row["project"], self._row["run"]
        with self._database.write() as session:
            for name, rows in last:
                bring_in(session, self._coming, name, rows, now=self._clock())
            end_coming(session, self._coming, project=project, run=run, now=self._clock())
            record_act(
                session,
                by,
                Action.RUN_IMPORTED,
                target=f"{project}/{run}",
                detail=f"{count} rows, {self._blobs} blobs",
                now=self._clock(),
            )
        return Brought(
            run_id=self._coming.run_id, project=project, run=run, rows=count, blobs=self._blobs
        )

    def _bring(self, name: str, rows: list[Row]) -> None:
        if name == "parts":
            self._bring_blobs(rows)
        with self._database.write() as session:
            bring_in(session, self._coming, name, rows, now=self._clock())

    def _bring_blobs(self, parts: list[Row]) -> None:
        """Each under a new key, safe on the disk before its row names it."""
        folder = f"{self._row['project']}/{self._row['run']}/imported-{self._coming.run_id}"
        for part in parts:
            key = f"{folder}/{uuid4().hex}.part"
            size = 0
            if part["blob_key"]:
                size = self._bring_blob(part["blob_key"], key)
            part["blob_key"], part["blob_bytes"] = key, size
            if part["stale_key"] is not None:
                stale = f"{folder}/{uuid4().hex}.part"
                part["stale_bytes"] = self._bring_blob(part["stale_key"], stale)
                part["stale_key"] = stale

    def _bring_blob(self, member: str, key: str) -> int:
        data = self._archive.blob(member)
        self._store.put(key, data)
        self._blobs += 1
        return len(data)


def _or_invalid(
    renumbered: Callable[[bytes, Mapping[int, int]], bytes],
) -> Callable[[bytes, Mapping[int, int]], bytes]:
    def or_invalid(memory: bytes, ids: Mapping[int, int]) -> bytes:
        try:
            return renumbered(memory, ids)
        except ForeignStateError as error:
            raise InvalidError(f"a memory of detectors is damaged: {error}") from error

    return or_invalid


RENUMBERED: Final = Renumbering(
    whole=_or_invalid(with_tensor_ids), piece=_or_invalid(piece_with_tensor_ids)
)


def _named(manifest: dict[str, Any], *, run: str | None, project: str | None) -> Row:
    """The run's own row, under the names it gets."""
    found = manifest.get("run")
    if not isinstance(found, dict):
        raise InvalidError("the manifest does not say which run it is of")
    row = {
        "project": project or found.get("project"),
        "run": run or found.get("run"),
        "display_name": found.get("display_name"),
        "created_at": found.get("created_at"),
        "retention_days": found.get("retention_days"),
        "keep_bytes": found.get("keep_bytes"),
    }
    for what in ("project", "run"):
        try:
            check_slug(str(row[what]), what)
        except ValueError as error:
            raise InvalidError(str(error)) from error
    check_rows("runs", [row])
    return row
