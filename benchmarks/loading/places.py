"""A server of its own on SQLite or PostgreSQL, real processes on loopback, and what they use."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from bifurk_service.store.engine import Database

PROJECT: Final = Path(__file__).parents[2]
if str(PROJECT) not in sys.path:
    sys.path.append(str(PROJECT))

from tests.deploy.postgres import Postgres  # noqa: E402 - only then it is found
from tests.deploy.worker import Worker  # noqa: E402
from tests.server import Server  # noqa: E402

DATABASES: Final = ("SQLite", "PostgreSQL")
ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Processor seconds since the start: of the server, what measures, and the database's own."""

    server: float
    workers: float
    database: float

    def since(self, earlier: Used) -> Used:
        """What was used between two readings."""
        return Used(
            server=self.server - earlier.server,
            workers=self.workers - earlier.workers,
            database=self.database - earlier.database,
        )


class Place:
    """A database with a server, and at will workers, in front of it.

    Args:
        folder: for the data. postgres: a running cluster, or None for SQLite.
        name: of its database. settings: environment variables of its processes.
    """

    def __init__(
        self, folder: Path, postgres: Postgres | None, name: str, settings: dict[str, str]
    ) -> None:
        self.data_dir = folder / name
        self.data_dir.mkdir()
        self.postgres = postgres
        url = postgres.bifurk(name) if postgres else f"sqlite:///{self.data_dir / 'bifurk.db'}"
        self.environment = {**ONE_THREAD, "BIFURK_MEASURE_WORKERS": "1", **settings}
        if postgres:
            self.environment["BIFURK_DATABASE_URL"] = url
        self.server: Server | None = None
        self.workers: list[Worker] = []
        self.database_url = url

    def serve(self, **settings: str) -> Server:
        """Starts the server."""
        self.server = Server(self.data_dir, {**self.environment, **settings})
        return self.server

    def work(self, count: int) -> None:
        """Starts worker processes, which need PostgreSQL and a server without a pipeline."""
        for number in range(count):
            folder = self.data_dir.parent / f"{self.data_dir.name}-worker-{number}"
            folder.mkdir(exist_ok=True)
            blobs = {"BIFURK_BLOB_URL": str(self.data_dir / "blobs")}
            self.workers.append(Worker(folder, {**self.environment, **blobs}))
        for worker in self.workers:
            _ = worker.url

    def rest(self) -> None:
        """Stops what was started."""
        for worker in self.workers:
            worker.stop()
        self.workers = []
        if self.server is not None:
            self.server.stop()
            self.server = None

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A connection of this process's own."""
        database = Database(self.database_url)
        try:
            yield database
        finally:
            database.close()

    def used(self) -> Used:
        """Processor seconds up to now."""
        assert self.server is not None
        return Used(
            server=_cpu([self.server.process.pid]),
            workers=_cpu(_children(self.server.process.pid))
            + sum(_cpu([w.process.pid, *_children(w.process.pid)]) for w in self.workers),
            database=0.0 if self.postgres is None else self.postgres_cpu(),
        )

    def postgres_cpu(self) -> float:
        """Of the cluster's processes that there are now."""
        assert self.postgres is not None
        return _cpu([self.postgres.pid, *_children(self.postgres.pid)])

    def resident_mib(self) -> tuple[float, float]:
        """Of the server, and of all that measures."""
        assert self.server is not None
        others = _children(self.server.process.pid)
        for worker in self.workers:
            others += [worker.process.pid, *_children(worker.process.pid)]
        return _resident([self.server.process.pid]), _resident(others)


@contextmanager
def cluster(wanted: str) -> Iterator[Postgres | None]:
    """PostgreSQL that syncs what it commits, or None for SQLite."""
    if wanted == "SQLite":
        yield None
        return
    postgres = Postgres(durable=True)
    try:
        yield postgres
    finally:
        postgres.stop()


@contextmanager
def place(wanted: str, **settings: str) -> Iterator[Place]:
    """An empty place, without a server yet."""
    with cluster(wanted) as postgres, tempfile.TemporaryDirectory(prefix="bifurk-load-") as folder:
        made = Place(Path(folder), postgres, "load", settings)
        try:
            yield made
        finally:
            made.rest()


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu(pids: list[int]) -> float:
    return sum(_of(pid, lambda p: p.cpu_times().user + p.cpu_times().system) for pid in pids)


def _resident(pids: list[int]) -> float:
    return sum(_of(pid, lambda p: p.memory_info().rss / 2**20) for pid in pids)


def _of(pid: int, read: Any) -> float:
    try:
        return float(read(psutil.Process(pid)))
    except psutil.NoSuchProcess:
        return 0.0
