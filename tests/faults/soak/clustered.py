"""The service on SQLite, with a Dask cluster that measures."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bifurk_service.store.engine import Database
from tests.cluster.processes import Cluster, stop_group
from tests.faults.soak.stacks import OneProcess
from tests.server import Server

WORKERS: Final = 2


class Clustered:
    """`bifurk serve`, a scheduler and workers.

    Args:
        data_dir: of the server. cluster: a folder for logs and what the workers put away.
    """

    def __init__(self, data_dir: Path, cluster: Path) -> None:
        self.data_dir = data_dir
        self._cluster = Cluster(cluster)
        self._workers = [self._cluster.start_worker() for _ in range(WORKERS)]
        self._service = OneProcess(data_dir, BIFURK_DASK_SCHEDULER=self._cluster.address)

    @property
    def server(self) -> Server:
        return self._service.server

    @property
    def url(self) -> str:
        return self._service.url

    @property
    def victims(self) -> list[tuple[str, str]]:
        return [("server", "kill"), ("scheduler", "kill"), ("dask worker", "kill")]

    def strike(self, victim: str, kind: str, seconds: float) -> None:
        if victim == "server":
            self._service.strike(victim, kind, seconds)
        elif victim == "scheduler":
            self._cluster.kill_scheduler()
            time.sleep(seconds)
            self._cluster.start_scheduler()
            self._replace_workers()
        else:
            for process in self._cluster.worker_ids():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def database(self) -> Database:
        return self._service.database()

    def stop(self) -> None:
        self._service.stop()
        self._cluster.stop()

    def _replace_workers(self) -> None:
        """Nannies end with their scheduler, and whatever runs them starts them again."""
        for worker in self._workers:
            stop_group(worker)
        self._workers = [self._cluster.start_worker() for _ in range(WORKERS)]


@contextmanager
def clustered(folder: Path) -> Iterator[Clustered]:
    """For as long as the context is open."""
    (folder / "cluster").mkdir(parents=True)
    stack = Clustered(folder / "data", folder / "cluster")
    try:
        yield stack
    finally:
        stack.stop()
