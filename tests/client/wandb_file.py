"""What an offline run of wandb has written: its file, read without wandb's help.

The file is a LevelDB log (blocks of 32 KiB, records with checksum, length and kind) behind seven
bytes of header; each record is a protocol buffer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER_BYTES = 7
BLOCK_BYTES = 32_768
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(file: Path) -> list[Any]:
    """All records, decoded."""
    from wandb.proto import wandb_internal_pb2

    decoded = []
    for data in _frames(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        decoded.append(record)
    return decoded


def rows(found: list[Any]) -> list[dict[str, Any]]:
    """The rows of the history, without what wandb itself adds but for ``_step``."""
    kept = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            own = {k: v for k, v in items.items() if not k.startswith("_") or k == "_step"}
            kept.append(own)
    return kept


def _frames(raw: bytes) -> Iterator[bytes]:
    at, whole = HEADER_BYTES, b""
    while at + 7 <= len(raw):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < 7:
            at += left
            continue
        size, kind = int.from_bytes(raw[at + 4 : at + 6], "little"), raw[at + 6]
        whole = (whole if kind in (MIDDLE, LAST) else b"") + raw[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (WHOLE, LAST):
            yield whole
