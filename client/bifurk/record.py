"""One request as one file: a line of JSON, then the body's very bytes.

A file under its final name is whole: it was written under another, synced and renamed.
``docs/decisions/0002-spool-of-files.md`` says why files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from bifurk.identity import WRITER_HEADER
from bifurk.transport import Request
from bifurk.wire import SLUG_PATTERN

SUFFIX: Final = ".request"
TEMPORARY_SUFFIX: Final = ".tmp"
FORMAT: Final = 1
MAX_HEAD_BYTES: Final = 64 << 10
"""Of the JSON line: paths and a few headers; a longer line is no head of ours."""

METHOD: Final = "PUT"
HEADER_NAMES: Final = frozenset(
    {"Content-Type", "Content-Encoding", "Content-Digest", WRITER_HEADER}
)
"""All that a request of ours carries; whatever else a file asks for is not sent with a token."""

_STEP: Final = "[0-9]{1,19}"
_PATH: Final = re.compile(
    f"/api/v1/projects/{SLUG_PATTERN}/runs/{SLUG_PATTERN}/attempts/{SLUG_PATTERN}"
    f"(?:/snapshots/{_STEP}/parts/{_STEP})?"
)
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
"""Printable ASCII without spaces around it: what every HTTP library agrees to send."""

Frames: TypeAlias = tuple[bytes, bytes]
"""The head line and the body, as they follow each other in the file."""


class TornRecordError(ValueError):
    """A file that is not one whole request of ours: cut off, overwritten, or of another kind."""


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


def write_record(path: Path, content: Iterable[bytes]) -> None:
    """Writes a file readable by its owner alone; once this returns it survives a power cut.

    Args:
        path: without the suffix ``TEMPORARY_SUFFIX``.
        content: one after the other; ``frames`` of a request, for instance.

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
    sync_folder(path.parent)


def read_record(path: Path) -> Request:
    """Reads a file back, and trusts nothing in it: it may be anybody's.

    Raises:
        TornRecordError: it is not one whole request that this client could have made.
        OSError: it cannot be read.
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


def peek(path: Path) -> tuple[str, int | None]:
    """Resource and sequence of a request, without its body; trusts nothing, as ``read_record``.

    Raises:
        TornRecordError: it does not begin as a request of ours. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        line = file.readline(MAX_HEAD_BYTES)
    try:
        request = _request(json.loads(line), b"")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TornRecordError(f"{path.name}: {error}") from None
    return request.path, request.sequence


def make_folder(folder: Path) -> None:
    """Makes a folder for its owner alone, durably, with those above it; one that is there is fine.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable; where folders cannot be synced, the files still are."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _request(head: dict[str, Any], body: bytes) -> Request:
    if head["format"] != FORMAT:
        raise ValueError(f"format {FORMAT} expected, got {head['format']!r}")
    if head["method"] != METHOD:
        raise ValueError(f"method {METHOD} expected")
    if not _PATH.fullmatch(head["path"]):
        raise ValueError("the path is not one of an attempt or a part")
    sequence = head["sequence"]
    return Request(
        method=METHOD,
        path=head["path"],
        headers=_headers(head["headers"]),
        body=body,
        sequence=None if sequence is None else int(sequence),
    )


def _headers(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if name not in HEADER_NAMES or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name[:40]!r} is none of ours")
    return dict(given)
