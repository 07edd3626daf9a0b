"""Holds many folders, a few at a time: each hold is an open file, of which there are few."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bifurk.folder_lock import FolderLock
from bifurk.spool_folder import LOCK_NAME

MOST_HELD: Final = 64
"""A process may open 256 files on some systems, and 1,024 on most; ranks are more."""


class FolderHolds:
    """Folders nobody else may have while they are held; use it as a context.

    Args:
        most: held at once; who was asked for longest ago is let go for the next.
    """

    def __init__(self, *, most: int = MOST_HELD) -> None:
        self._most = most
        self._locks: OrderedDict[Path, FolderLock] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._locks:
            self._locks.popitem()[1].release()

    def take(self, folder: Path) -> None:
        """Holds a folder, still or anew.

        Raises:
            FolderInUseError: somebody else has it. OSError: it cannot be locked, or is gone.
        """
        if folder in self._locks:
            self._locks.move_to_end(folder)
            return
        while len(self._locks) >= self._most:
            self._locks.popitem(last=False)[1].release()
        self._locks[folder] = FolderLock(folder / LOCK_NAME)
