"""Takes archives apart, changes what they hold, and packs them again with an index that fits."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

Members = dict[str, bytes]


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist() if name != "index.json"}


def packed(path: Path, members: Members, *, compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive of these members, with an index that fits."""
    index = [[name, len(data), hashlib.sha256(data).hexdigest()] for name, data in members.items()]
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
        file.writestr("index.json", json.dumps({"members": index}))
    return path


def unpacked(data: bytes) -> list[list[Any]]:
    return [json.loads(line) for line in zstandard.ZstdDecompressor().decompress(data).splitlines()]


def changed(
    members: Members, name: str, change: Callable[[list[list[Any]], list[str]], None]
) -> None:
    """Changes the rows of a member, given with the names of their columns."""
    columns = json.loads(members["manifest.json"])["tables"][name.split("/")[1]]
    rows = unpacked(members[name])
    change(rows, columns)
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    members[name] = zstandard.ZstdCompressor().compress(text.encode())


def told(members: Members, **manifest: Any) -> None:
    members["manifest.json"] = json.dumps(
        {**json.loads(members["manifest.json"]), **manifest}
    ).encode()


def at(name: str, column: str, value: Any) -> Callable[[Members], None]:
    """Sets a value of the first row."""

    def change(rows: list[list[Any]], columns: list[str]) -> None:
        rows[0][columns.index(column)] = value

    return lambda members: changed(members, f"rows/{name}/000000.jsonl.zst", change)
