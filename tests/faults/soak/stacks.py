"""What stands between the trainings and their alerts, in processes that can be killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import psutil  # type: ignore[import-untyped]

from bifurk_service.store.engine import Database
from tests.deploy.postgres import Postgres, running_postgres
from tests.deploy.worker import Worker
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, Server

MEASURE_WORKERS: Final = "1"
LEASE_SECONDS: Final = 3.0
"""Of workers: shorter than users have it, so that what a dead one held is soon another's."""


class Stack(Protocol):
    """A service, whatever it consists of."""

    data_dir: Path
    server: Server

    @property
    def url(self) -> str:
        """Where clients find it, also after a restart."""
        ...

    @property
    def victims(self) -> list[tuple[str, str]]:
        """What can be done to which of its processes."""
        ...

    def strike(self, victim: str, kind: str, seconds: float) -> None:
        """Kills, and starts again after some seconds; or pauses for so long."""
        ...

    def database(self) -> Database:
        """Its database, to look at; the caller closes it."""
        ...


class OneProcess:
    """`bifurk serve` on SQLite."""

    victims: Final = [("server", "kill"), ("measuring", "kill")]

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self._port = own_port()
        self._environment = environment
        self.server = self._start()

    @property
    def url(self) -> str:
        return self.server.url

    def strike(self, victim: str, kind: str, seconds: float) -> None:
        if victim == "measuring":
            kill_children(self.server.process.pid)
            return
        orphans = children(self.server.process.pid)
        self.server.kill()
        time.sleep(seconds)
        self.server = self._start()
        gone(orphans)

    def database(self) -> Database:
        return Database(f"sqlite:///{self.data_dir / 'bifurk.db'}")

    def stop(self) -> None:
        self.server.stop()

    def _start(self) -> Server:
        return Server(self.data_dir, {**api_environment(self._port), **self._environment})


class SeveralProcesses:
    """A server that takes in, workers that do the rest, over one PostgreSQL.

    Args:
        data_dir: of blobs and logs. cluster: the database's. workers: how many.
    """

    def __init__(self, data_dir: Path, cluster: Postgres, *, workers: int) -> None:
        self.data_dir = data_dir
        self._cluster = cluster
        self._url = cluster.bifurk(f"soak-{own_port()}")
        self._port = own_port()
        self._shared = {"BIFURK_DATABASE_URL": self._url, "BIFURK_PIPELINE": "false"}
        self._workers = {f"worker-{number}": self._work(number) for number in range(workers)}
        self.server = self._serve()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def victims(self) -> list[tuple[str, str]]:
        workers = [(name, kind) for name in self._workers for kind in ("kill", "pause")]
        return [("server", "kill"), ("database", "kill"), ("measuring", "kill"), *workers]

    def strike(self, victim: str, kind: str, seconds: float) -> None:
        if victim == "measuring":
            for worker in self._workers.values():
                kill_children(worker.process.pid)
        elif victim == "database":
            self._cluster.kill()
            time.sleep(seconds)
            self._cluster.start()
        elif victim == "server":
            self.server.kill()
            time.sleep(seconds)
            self.server = self._serve()
        elif kind == "pause":
            self._pause(self._workers[victim], seconds)
        else:
            self._kill_worker(victim, seconds)

    def database(self) -> Database:
        return Database(self._url)

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.stop()
        self.server.stop()

    def _pause(self, worker: Worker, seconds: float) -> None:
        """For longer than its leases last, so that others take over what it believes to hold."""
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + seconds)
        worker.process.send_signal(signal.SIGCONT)

    def _kill_worker(self, name: str, seconds: float) -> None:
        worker = self._workers[name]
        orphans = children(worker.process.pid)
        worker.process.kill()
        worker.process.wait(DEADLINE_SECONDS)
        time.sleep(seconds)
        self._workers[name] = self._work(int(name.partition("-")[2]))
        gone(orphans)

    def _work(self, number: int) -> Worker:
        folder = self.data_dir.with_name(f"{self.data_dir.name}-{number}-{time.monotonic_ns()}")
        worker = Worker(
            folder,
            {
                **self._shared,
                "BIFURK_LEASE_SECONDS": str(LEASE_SECONDS),
                "BIFURK_MEASURE_WORKERS": MEASURE_WORKERS,
                "BIFURK_BLOB_URL": str(self.data_dir / "blobs"),
            },
        )
        assert worker.url
        return worker

    def _serve(self) -> Server:
        return Server(self.data_dir, {**api_environment(self._port), **self._shared})


@contextmanager
def one_process(folder: Path) -> Iterator[OneProcess]:
    """The small stack, for as long as the context is open."""
    folder.mkdir(parents=True)
    stack = OneProcess(folder / "data")
    try:
        yield stack
    finally:
        stack.stop()


@contextmanager
def several_processes(folder: Path, *, workers: int) -> Iterator[SeveralProcesses]:
    """The larger one, with a PostgreSQL of its own."""
    folder.mkdir(parents=True)
    with running_postgres() as cluster:
        stack = SeveralProcesses(folder / "data", cluster, workers=workers)
        try:
            yield stack
        finally:
            stack.stop()


def api_environment(port: int) -> dict[str, str]:
    return {"BIFURK_PORT": str(port), "BIFURK_MEASURE_WORKERS": MEASURE_WORKERS}


def children(process_id: int) -> list[psutil.Process]:
    """The processes below one, as long as it is there."""
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(process_id).children(recursive=True))
    return []


def kill_children(process_id: int) -> None:
    """What measures: it is replaced by whoever it belongs to."""
    for child in children(process_id):
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGKILL)


def gone(processes: list[psutil.Process]) -> None:
    """Fails unless the children of a dead process have followed it."""
    assert psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)[1] == []


__all__ = ["OneProcess", "SeveralProcesses", "Stack", "one_process", "several_processes"]
