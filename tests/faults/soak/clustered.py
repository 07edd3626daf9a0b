"""The service on SQLite, with a Dask cluster that measures."""

from __future__ import annotations

import os
import signal
import threading
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
        self._workers = [KeptWorker(self._cluster) for _ in range(WORKERS)]
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
            for worker in self._workers:
                worker.kill()
        else:
            for process in self._cluster.worker_ids():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def database(self) -> Database:
        return self._service.database()

    def stop(self) -> None:
        self._service.stop()
        for worker in self._workers:
            worker.stop()
        self._cluster.stop()


class KeptWorker:
    """`dask worker`, started again whenever it ends, as the documentation asks for.

    It ends with its scheduler, and where what it starts is killed before it has begun.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._stopping = False
        self._process = cluster.start_worker()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """SIGKILL to all of it; another one follows."""
        with self._lock:
            stop_group(self._process)

    def stop(self) -> None:
        """Ends it for good."""
        with self._lock:
            self._stopping = True
            stop_group(self._process)
        self._thread.join()

    def _keep(self) -> None:
        while True:
            self._process.wait()
            with self._lock:
                if self._stopping:
                    return
                if self._process.poll() is not None:
                    self._process = self._cluster.start_worker()


@contextmanager
def clustered(folder: Path) -> Iterator[Clustered]:
    """For as long as the context is open."""
    (folder / "cluster").mkdir(parents=True)
    stack = Clustered(folder / "data", folder / "cluster")
    try:
        yield stack
    finally:
        stack.stop()
