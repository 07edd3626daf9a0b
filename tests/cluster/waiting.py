"""A blob that keeps its reader waiting: a pipe in its place, which nobody writes to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.server import wait_for


class WaitingBlob:
    """Swaps a blob for a pipe until ``release``.

    Args:
        file: of the blob. processes: gives the ids of all workers there are.
    """

    def __init__(self, file: Path, processes: Callable[[], list[int]]) -> None:
        self._file = file
        self._aside = file.with_suffix(".aside")
        self._processes = processes
        file.rename(self._aside)
        os.mkfifo(file)
        self._writer: int | None = None

    def kill_reader(
        self,
        *,
        then: Callable[[], object] = lambda: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """SIGKILL to the worker that reads it.

        Args:
            then: called before anything else reads it. meanwhile: called until there is a reader.
        """
        reader = self.wait_for_reader(meanwhile)
        then()
        os.kill(reader, signal.SIGKILL)
        wait_for(lambda: not _lives(reader), "the worker's end")

    def wait_for_reader(self, meanwhile: Callable[[], object] = lambda: None) -> int:
        """The process that waits, from then on for the end that is held here."""

        def reader() -> int | None:
            meanwhile()
            if self._writer is None:
                self._writer = self._opened()
            return self._reader()

        found: int = wait_for(reader, "a worker that reads the part")
        return found

    def release(self) -> None:
        """Whoever opens it from now on finds the blob."""
        self._aside.replace(self._file)

    def deliver(self) -> None:
        """Whoever waits, and whoever opens it from now on, reads the blob after all."""
        content = self._aside.read_bytes()
        self.release()
        assert self._writer is not None
        os.set_blocking(self._writer, True)
        with os.fdopen(self._writer, "wb") as pipe:
            pipe.write(content)

    def let_go(self) -> None:
        """Whoever still waits at the pipe reads an empty part."""
        if self._writer is not None:
            os.close(self._writer)

    def _opened(self) -> int | None:
        try:
            return os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    def _reader(self) -> int | None:
        return next((pid for pid in self._processes() if str(self._file) in _open_files(pid)), None)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _open_files(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return {os.readlink(one) for one in folder.iterdir()}
    except OSError:
        return set()
