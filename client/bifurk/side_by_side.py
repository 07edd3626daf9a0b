"""Folders that the ranks of one attempt have filled, gone through snapshot by snapshot.

One after the other, the second would come when the server no longer waits for its parts.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from bifurk.record import TornRecordError, peek

Folders: TypeAlias = Mapping[Path, Sequence[Path]]
"""Folders, and the files of their requests, oldest first."""

_Place: TypeAlias = tuple[int, int]
"""Of a request in its folder: which attempt there, which snapshot of it."""


def together(folders: Folders) -> list[Folders]:
    """The folders, those in one group that begin with the same attempt; in the order given."""
    groups: dict[object, dict[Path, Sequence[Path]]] = {}
    for folder, paths in folders.items():
        attempt = next((told[0] for path in paths if (told := _told(path)) is not None), None)
        groups.setdefault(folder if attempt is None else attempt, {})[folder] = paths
    return list(groups.values())


def in_step(folders: Folders) -> Iterator[tuple[Path, Path]]:
    """Folder and file of each request: each folder's in order, the same snapshot's in a row."""
    if len(folders) == 1:
        return ((folder, path) for folder, paths in folders.items() for path in paths)
    placed = heapq.merge(*(_placed(*one) for one in folders.items()), key=lambda one: one[0])
    return ((folder, path) for _, folder, path in placed)


def _placed(folder: Path, paths: Iterable[Path]) -> Iterator[tuple[_Place, Path, Path]]:
    """What tells of no snapshot keeps its place behind the one before."""
    number, snapshot, present = 0, 0, None
    for path in paths:
        told = _told(path)
        if told is not None:
            attempt, sequence = told
            if present is not None and attempt != present:
                number, snapshot = number + 1, 0
            present = attempt
            snapshot = snapshot if sequence is None else sequence
        yield (number, snapshot), folder, path


def _told(path: Path) -> tuple[str, int | None] | None:
    """The attempt's resource and the snapshot's sequence; None of what cannot be read."""
    with contextlib.suppress(TornRecordError, OSError):
        resource, sequence = peek(path)
        return resource.partition("/snapshots/")[0], sequence
    return None
