"""Whose folder is this: a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import functools
import os
import sys
import weakref
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FolderInUseError(OSError):
    """Another living process, or another lock in this one, holds the folder."""


class FolderLock:
    """Holds a lock file until released or until the process is gone.

    A forked child does not hold it on: a DataLoader worker that outlives its parent must not
    keep the parent's folder from being taken over.

    Args:
        path: of the lock file. create: whether to make it when it is not there.

    Raises:
        FolderInUseError: somebody holds it. OSError: it cannot be opened or locked.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        self._descriptor: int | None = os.open(path, flags, 0o600)
        try:
            _lock(self._descriptor)
        except BlockingIOError as error:
            self.release()
            raise FolderInUseError(f"{path.parent} is in use by another process") from error
        except OSError:
            self.release()
            raise
        _let_go_in_children()
        _held.add(self)

    def release(self) -> None:
        """Lets go; more than once is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_held: Final[weakref.WeakSet[FolderLock]] = weakref.WeakSet()


@functools.cache
def _let_go_in_children() -> None:
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=_release_all)


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
