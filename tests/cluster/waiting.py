"""A blob that keeps its reader waiting: a pipe in its place, which nobody writes to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

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
        writer = self.wait_for_reader(meanwhile)
        reader = wait_for(self._reader, "the worker that reads the part")
        then()
        os.kill(reader, signal.SIGKILL)
        os.close(writer)

    def wait_for_reader(self, meanwhile: Callable[[], object] = lambda: None) -> int:
        """The end that a worker now waits for; closed, it would read an empty part."""

        def opened() -> int | None:
            meanwhile()
            return self._opened()

        writer: int = wait_for(opened, "a worker that reads the part")
        return writer

    def release(self) -> None:
        """Whoever opens it from now on finds the blob."""
        self._aside.replace(self._file)

    def _opened(self) -> int | None:
        try:
            return os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    def _reader(self) -> int | None:
        return next((pid for pid in self._processes() if str(self._file) in _open_files(pid)), None)


def _open_files(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return {os.readlink(one) for one in folder.iterdir()}
    except OSError:
        return set()
