"""A cluster on loopback, and houses that measure on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bifurk_service.pipeline.cluster.engine import ClusterWorkers
from bifurk_service.pipeline.workers import Engine
from tests.cluster.bucket import Bucket
from tests.cluster.processes import Cluster, wait_for_slots
from tests.pipeline.house import House

SMALL_TASKS = 0.002
"""Seconds: the matrices of tests are small, and are to be several tasks nevertheless."""
LARGE = 0.0014
"""Seconds: of the projections of the trained block."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of an S3 server on loopback, found by the environment as in production."""
    bucket = Bucket()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        yield bucket
    bucket.stop()


@pytest.fixture(scope="module")
def cluster(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers that reach the bucket; one says that it has a GPU."""
    del bucket
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    cluster.start_worker()
    cluster.gpu = cluster.start_worker("--resources", "GPU=1")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def engine(cluster: Cluster) -> Iterator[ClusterWorkers]:
    """Both workers behind one connection."""
    engine = ClusterWorkers(cluster.address, task_seconds=SMALL_TASKS, large_seconds=LARGE)
    wait_for_slots(engine, 2)
    yield engine
    engine.close()


class Shared:
    """An engine that outlives the house that uses it."""

    def __init__(self, engine: Engine) -> None:
        self.measure = engine.measure
        self._engine = engine

    @property
    def count(self) -> int:
        return self._engine.count

    @property
    def trouble(self) -> str | None:
        return self._engine.trouble

    def replace(self) -> None:
        self._engine.replace()

    def close(self) -> None:
        """Left to the fixture."""


class ClusterHouse(House):
    """A server's insides that measure on a cluster."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.engine = engine
        super().__init__(folder)

    def new_workers(self) -> Engine:
        return Shared(self.engine)


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[[Engine | None], House]]:
    """A house in a folder of its own, on an engine or on this process."""
    houses: list[House] = []

    def make(engine: Engine | None = None) -> House:
        folder = tmp_path / f"house-{len(houses)}"
        folder.mkdir()
        houses.append(House(folder) if engine is None else ClusterHouse(folder, engine))
        return houses[-1]

    yield make
    for house in houses:
        house.pipeline.stop()
        house.database.close()
