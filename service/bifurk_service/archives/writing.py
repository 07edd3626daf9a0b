"""Writes a run to one file, from one state of the database, a few rows at a time."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from typing import Any, BinaryIO, Final

import zstandard

import bifurk
from bifurk_service.archives.form import FORMAT, INDEX, MANIFEST, VERSION
from bifurk_service.errors import ConflictError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.row_values import encoded
from bifurk_service.store.runs import get_run
from bifurk_service.store.whole_runs import REFERENCES, Row, columns_of, part_now, rows_of, run_row

ROWS_AT_ONCE: Final = 500
AT_ONCE: Final[dict[str, int]] = {
    "tensors": 20_000,
    "thinnings": 1,
    "detector_states": 1,
    "detector_pieces": 8,
}
"""Of tables that are read otherwise: tensors together, memories alone, pieces of some MiB a few."""
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every member, which says nothing; the manifest says when it was written."""


def write_run(database: Database, blobs: BlobStore, run_id: int, into: BinaryIO) -> dict[str, int]:
    """Writes a whole run.

    Args:
        database: read, in one transaction. blobs: those of its parts.
        run_id: of the run. into: a file that is written from its begin to its end.

    Returns:
        How many rows of each table, and how many ``blobs``, there are.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: a blob went while it was written: the run was thinned or removed.
    """
    with database.read() as session, zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as file:
        archive = _Archive(file, database, blobs)
        run = get_run(session, run_id)
        tables = {name: columns_of(name) for name in REFERENCES}
        archive.add(
            MANIFEST,
            _json(
                {
                    "format": FORMAT,
                    "version": VERSION,
                    "bifurk": bifurk.__version__,
                    "written_at": time.time(),
                    "run": run_row(session, run),
                    "tables": tables,
                }
            ),
        )
        counts = {name: archive.add_table(session, run_id, name) for name in tables}
        archive.end()
    return {**counts, "blobs": archive.blobs}


class _Archive:
    def __init__(self, file: zipfile.ZipFile, database: Database, blobs: BlobStore) -> None:
        self._file = file
        self._database = database
        self._store = blobs
        self._members: list[list[Any]] = []
        self.blobs = 0

    def add(self, name: str, data: bytes) -> None:
        self._file.writestr(zipfile.ZipInfo(name, EPOCH), data)
        self._members.append([name, len(data), hashlib.sha256(data).hexdigest()])

    def add_table(self, session: Session, run_id: int, name: str) -> int:
        columns = columns_of(name)
        compressor = zstandard.ZstdCompressor(level=3)
        at_once = AT_ONCE.get(name, ROWS_AT_ONCE)
        count = 0
        for number, rows in enumerate(rows_of(session, run_id, name, at_once=at_once)):
            if name == "parts":
                self._add_blobs(rows)
            text = encoded(columns, rows)
            self.add(f"rows/{name}/{number:06d}.jsonl.zst", compressor.compress(text))
            count += len(rows)
        return count

    def end(self) -> None:
        self._file.writestr(zipfile.ZipInfo(INDEX, EPOCH), _json({"members": self._members}))

    def _add_blobs(self, parts: list[Row]) -> None:
        """Keys become numbers of members; of a thinned snapshot there is no blob."""
        for part in parts:
            part["blob_key"] = self._add_blob(part) if part["blob_bytes"] else ""
            if part["stale_key"] is not None:
                part["stale_key"] = self._add_stale(part["stale_key"])

    def _add_blob(self, part: Row) -> str:
        """One that has been measured since has moved."""
        try:
            data = self._store.get(part["blob_key"])
        except FileNotFoundError:
            data = self._moved(part)
        return self._numbered(data)

    def _moved(self, part: Row) -> bytes:
        with self._database.read() as session:
            now = part_now(session, part["id"])
        try:
            data = self._store.get("" if now is None else now[0])
        except (FileNotFoundError, IsADirectoryError):
            raise ConflictError(
                f"the blob {part['blob_key']} is not there: the run was thinned or removed while "
                "it was written, or the blobs are not those of this database; try again"
            ) from None
        part["encoding"] = now[1] if now else ""
        return data

    def _add_stale(self, key: str) -> str | None:
        try:
            return self._numbered(self._store.get(key))
        except FileNotFoundError:
            return None

    def _numbered(self, data: bytes) -> str:
        name = f"blobs/{self.blobs:09d}"
        self.add(name, data)
        self.blobs += 1
        return name


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()
