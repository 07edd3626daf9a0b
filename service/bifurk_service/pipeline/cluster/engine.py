"""Snapshots measured on a Dask cluster, one task a matrix."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Final, TypeVar

from bifurk_service.pipeline.cluster.connection import Connection
from bifurk_service.pipeline.cluster.snapshot import measured
from bifurk_service.pipeline.measuring import MeasureJob, MeasureOutcome

TASK_SECONDS: Final = 0.5
"""About what the spectra of one task take: long beside handing it out and reading the part."""
LARGE_SECONDS: Final = TASK_SECONDS
"""A matrix that takes a processor this long is for a GPU, where workers have one: it is a task by
itself anyway, of about 1,300 x 1,300. That a GPU is faster from there on is a guess."""

Outcome = TypeVar("Outcome")


class ClusterWorkers:
    """An engine whose workers are those of a Dask scheduler.

    It begins to connect when it is first asked for anything, on a thread of its own.

    Args:
        address: of the scheduler, checked by ``check_cluster``.
        task_seconds: how much work the spectra of one task should be. large_seconds: from where on
            a matrix is for workers with a GPU, as long as there are any.
    """

    def __init__(
        self,
        address: str,
        *,
        task_seconds: float = TASK_SECONDS,
        large_seconds: float = LARGE_SECONDS,
    ) -> None:
        self._connection = Connection(address)
        self._task_seconds = task_seconds
        self._large_seconds = large_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """See ``Engine.count``."""
        self._running_loop()
        return self._connection.slots if self._connection.usable else 0

    @property
    def trouble(self) -> str | None:
        """See ``Engine.trouble``."""
        return self._connection.trouble

    def measure(self, job: MeasureJob) -> Future[MeasureOutcome]:
        """See ``Engine.measure``."""
        return self._soon(
            measured(
                self._connection,
                job,
                task_seconds=self._task_seconds,
                large_seconds=self._large_seconds,
            )
        )

    def replace(self) -> None:
        """See ``Engine.replace``; the scheduler sees to its workers."""

    def close(self) -> None:
        """See ``Engine.close``: tasks under way are given up, another server measures them."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            assert self._keeping is not None
            loop.call_soon_threadsafe(self._keeping.cancel)
            thread.join()

    def _soon(self, work: Coroutine[None, None, Outcome]) -> Future[Outcome]:
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(
                    target=asyncio.run,
                    args=(self._live(started),),
                    name="bifurk-cluster",
                    daemon=True,
                )
                self._thread.start()
                self._loop = started.result()
            return self._loop

    async def _live(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        """Until the keeping is cancelled; what is still being measured then is cancelled too."""
        self._keeping = asyncio.create_task(self._connection.keep())
        started.set_result(asyncio.get_running_loop())
        await asyncio.wait([self._keeping])
