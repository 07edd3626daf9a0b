"""One request as one file: a line of JSON, then the body's very bytes.

A file under its final name is whole: it was written under another, synced and renamed.
``docs/decisions/0002-spool-of-files.md`` says why files.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from bifurk.transport import Request

SUFFIX: Final = ".request"
TEMPORARY_SUFFIX: Final = ".tmp"
FORMAT: Final = 1
MAX_HEAD_BYTES: Final = 64 << 10
"""Of the JSON line: paths and a few headers; a longer line is no head of ours."""

Frames: TypeAlias = tuple[bytes, bytes]
"""The head line and the body, as they follow each other in the file."""


class TornRecordError(ValueError):
    """A file that is not one whole request: cut off, overwritten, or of another kind."""


def frames(request: Request) -> Frames:
    """What the file of a request holds; the sum of both lengths is its size."""
    head = {
        "format": FORMAT,
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
        "sequence": request.sequence,
        "body_bytes": len(request.body),
        "body_crc32": zlib.crc32(request.body),
    }
    return json.dumps(head).encode() + b"\n", request.body


def write_record(path: Path, content: Frames) -> None:
    """Writes a file readable by its owner alone; once this returns it survives a power cut.

    Raises:
        OSError: it could not be written; nothing is left under either name.
    """
    temporary = path.with_suffix(TEMPORARY_SUFFIX)
    try:
        with open(temporary, "wb", opener=partial(os.open, mode=0o600)) as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def read_record(path: Path) -> Request:
    """Reads a file back.

    Raises:
        TornRecordError: it is not one whole request. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        line = file.readline(MAX_HEAD_BYTES)
        body = file.read()
    try:
        head = json.loads(line)
        request = _request(head, body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TornRecordError(f"{path.name}: {error}") from None
    if len(body) != head["body_bytes"] or zlib.crc32(body) != head["body_crc32"]:
        raise TornRecordError(f"{path.name}: the body is not the one that was written")
    return request


def _request(head: dict[str, Any], body: bytes) -> Request:
    if head["format"] != FORMAT:
        raise ValueError(f"format {FORMAT} expected, got {head['format']!r}")
    sequence = head["sequence"]
    return Request(
        method=str(head["method"]),
        path=str(head["path"]),
        headers={str(name): str(value) for name, value in head["headers"].items()},
        body=body,
        sequence=None if sequence is None else int(sequence),
    )


def _sync_folder(folder: Path) -> None:
    """Makes the new name durable; where folders cannot be synced, the file still is."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
