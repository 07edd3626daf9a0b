"""Processes that die in the middle of a run's thinning, removal or import."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bifurk_service.store.engine import Database, Session
from tests.server import DEADLINE_SECONDS

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["bifurk_service.cli", "bifurk_service.server"])


class DiesAfter(Database):
    """A database whose process is killed after so many transactions, the last one committed."""

    def __init__(self, url: str, transactions: int) -> None:
        super().__init__(url)
        self._left = transactions

    @contextmanager
    def write(self, *, in_line: bool = True, beside: str | None = None) -> Iterator[Session]:
        with super().write(in_line=in_line, beside=beside) as session:
            yield session
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[..., object], *arguments: object) -> bool:
    """Runs work in a process of its own; whether it was killed before its end."""
    process = _FORKING.Process(target=work, args=arguments)
    process.start()
    process.join(DEADLINE_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
