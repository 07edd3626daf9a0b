"""Reads an archive as if an enemy had written it: nothing is believed or unpacked without end."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import zstandard

from bifurk_service.archives.form import (
    FORMAT,
    INDEX,
    MANIFEST,
    MEMBER,
    MOST_BLOB_BYTES,
    MOST_CHUNK_BYTES,
    VERSION,
)
from bifurk_service.errors import InvalidError
from bifurk_service.store.row_values import decoded, parsed
from bifurk_service.store.whole_runs import NOT_TAKEN_ALONG, REFERENCES, Row, table_of


class ArchiveReader:
    """An open archive; use it as a context.

    Attributes:
        manifest: what it says of itself.

    Raises:
        InvalidError: it is no archive, of another version, cut off or damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InvalidError(f"{path.name} is no whole archive: {error}") from error
        try:
            self._entries = self._checked_entries()
            self._index = self._read_index()
            self.manifest = self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self) -> Iterator[tuple[str, list[Row]]]:
        """Every table's rows, parents first; those of one member at a time.

        Raises:
            InvalidError: a member is damaged, or holds what its table does not take.
        """
        last = -1
        tables = list(REFERENCES)
        for name in self._index:
            if not name.startswith("rows/"):
                continue
            table = name.split("/")[1]
            if table not in REFERENCES or tables.index(table) < last:
                raise InvalidError(f"{name} is not where it belongs")
            last = tables.index(table)
            columns = [table_of(table).c[one] for one in self.manifest["tables"][table]]
            left_out = _left_out(table, {one.name for one in columns})
            rows = decoded(columns, self._unpacked(name), name)
            yield table, [{**left_out, **row} for row in rows]

    def blob(self, name: str) -> bytes:
        """One blob, as it was stored."""
        if not name.startswith("blobs/"):
            raise InvalidError(f"{name[:60]!r} is no blob of the archive")
        return self._member(name, most_bytes=MOST_BLOB_BYTES)

    def _checked_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._file.infolist():
            if not MEMBER.fullmatch(entry.filename) or entry.filename in entries:
                raise InvalidError(
                    f"{entry.filename[:60]!r} is no member that an archive has, once"
                )
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise InvalidError(f"{entry.filename} is packed or encrypted; members are not")
            entries[entry.filename] = entry
        return entries

    def _read_index(self) -> dict[str, tuple[int, str]]:
        document = self._document(INDEX, self._raw(INDEX, MOST_CHUNK_BYTES))
        members = document.get("members")
        if not isinstance(members, list):
            raise InvalidError(f"{INDEX} lists no members")
        found: dict[str, tuple[int, str]] = {}
        for one in members:
            match one:
                case [str(name), int(size), str(digest)]:
                    found[name] = size, digest
                case _:
                    raise InvalidError(f"{INDEX} lists {str(one)[:60]!r}")
        if {*found, INDEX} != set(self._entries):
            raise InvalidError("the archive does not hold what its index lists")
        return found

    def _read_manifest(self) -> dict[str, Any]:
        found = self._document(MANIFEST, self._member(MANIFEST, most_bytes=MOST_CHUNK_BYTES))
        if found.get("format") != FORMAT:
            raise InvalidError(
                f"no archive of a run: its format is {str(found.get('format'))[:60]!r}"
            )
        if found.get("version") != VERSION:
            raise InvalidError(
                f"an archive of version {str(found.get('version'))[:20]}, this reads {VERSION}: "
                f"written by bifurk {str(found.get('bifurk'))[:20]}, use one as new"
            )
        tables = found.get("tables")
        if not isinstance(tables, dict):
            raise InvalidError(f"{MANIFEST} describes no tables")
        for name, columns in tables.items():
            _check_columns(name, columns)
        return found

    def _document(self, name: str, text: bytes) -> dict[str, Any]:
        document = parsed(text, name)
        if not isinstance(document, dict):
            raise InvalidError(f"{name} is no object")
        return document

    def _unpacked(self, name: str) -> bytes:
        packed = self._member(name, most_bytes=MOST_CHUNK_BYTES)
        try:
            stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed)
            text = stream.read(MOST_CHUNK_BYTES + 1)
        except zstandard.ZstdError as error:
            raise InvalidError(f"{name} is damaged: {error}") from error
        if len(text) > MOST_CHUNK_BYTES:
            raise InvalidError(f"{name} unpacks to more than {MOST_CHUNK_BYTES} bytes")
        return text

    def _member(self, name: str, *, most_bytes: int) -> bytes:
        size, digest = self._index.get(name, (-1, ""))
        data = self._raw(name, most_bytes)
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise InvalidError(
                f"{name} is not what the index says: the file was damaged or changed"
            )
        return data

    def _raw(self, name: str, most_bytes: int) -> bytes:
        entry = self._entries.get(name)
        if entry is None:
            raise InvalidError(f"{name} is missing: no archive of a run, or not a whole one")
        if entry.file_size > most_bytes:
            raise InvalidError(f"{name} has {entry.file_size} bytes, at most {most_bytes} are read")
        try:
            with self._file.open(entry) as stream:
                return stream.read(most_bytes)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise InvalidError(f"{name} is damaged: {error}") from error


def _left_out(table: str, told: set[str]) -> Row:
    """What an older version did not know of, as a row has it that says nothing of it."""
    return {
        one.name: getattr(one.default, "arg", None)
        for one in table_of(table).columns
        if one.name not in NOT_TAKEN_ALONG | told
    }


def _check_columns(name: Any, columns: Any) -> None:
    if name not in REFERENCES:
        raise InvalidError(f"rows of {str(name)[:60]!r} are not known: use a newer bifurk")
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise InvalidError(f"{MANIFEST} names no columns of {name}")
    known = {one.name: one for one in table_of(name).c if one.name not in NOT_TAKEN_ALONG}
    foreign = [one for one in columns if one not in known]
    if foreign or len(set(columns)) != len(columns):
        raise InvalidError(
            f"{name} has no columns {str(foreign or columns)[:100]}: use a newer bifurk"
        )
    needed = {
        one.name
        for one in known.values()
        if not one.nullable and one.default is None and one.server_default is None
    }
    if missing := sorted(needed - set(columns)):
        raise InvalidError(f"{MANIFEST} leaves out {name}.{missing[0]}")
