"""Snapshots measured on a real scheduler and real workers: the same, and nothing lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bifurk
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.cluster.connection import AWAY, OTHER_RELEASE
from bifurk_service.pipeline.cluster.engine import ClusterWorkers
from bifurk_service.pipeline.cluster.tasks import Raised, begin, unpacked
from bifurk_service.pipeline.measuring import MeasureOutcome, run_job
from bifurk_service.pipeline.workers import WorkersAwayError
from bifurk_service.stats.measure import OUT_OF_TIME
from bifurk_service.stats.spectra.plan import SpectraPlan
from tests.cluster.bucket import Bucket
from tests.cluster.processes import Cluster, stop_group, wait_for_slots
from tests.cluster.stored import (
    advance,
    compared_with_the_first,
    job_of,
    settle,
    snapshots,
    spectra,
    statistics,
    stripped,
    told,
    waiting,
)
from tests.cluster.trained import trained_parts
from tests.parts import make_part, put_part
from tests.pipeline.house import House
from tests.server import Server, wait_for

MakeHouse = Callable[..., House]
SECONDS = 120.0


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that has measured the training on this machine."""
    house = House(tmp_path_factory.mktemp("here"))
    train(house)
    settle(house)
    yield house
    house.pipeline.stop()
    house.database.close()


def train(house: House) -> None:
    for part in trained_parts():
        house.receive(part)


def test_a_training_measures_the_same_as_on_this_machine(
    make_house: MakeHouse, engine: ClusterWorkers, here: House
) -> None:
    house = make_house(engine)
    train(house)
    settle(house)
    assert compared_with_the_first(here) > 0
    assert_same(house, here)


def test_a_worker_lost_over_a_snapshot_is_not_counted_against_it(
    make_house: MakeHouse, engine: ClusterWorkers, cluster: Cluster
) -> None:
    house = make_house(engine)
    house.receive(make_part(0))
    blob = waiting(house, cluster)
    house.pipeline.advance()
    blob.kill_reader(then=blob.release)
    settle(house)
    assert [(one.state, one.tries) for one in snapshots(house)] == [("judged", 0)]


def test_a_part_that_always_kills_its_worker_fails_alone(
    make_house: MakeHouse, engine: ClusterWorkers, cluster: Cluster
) -> None:
    house = make_house(engine)
    house.receive(make_part(0, run="poisoned"))
    blob = waiting(house, cluster)
    house.receive(make_part(0, run="sound"))
    house.receive(make_part(1, run="sound"))
    house.pipeline.advance()

    def go_on() -> None:
        cluster.revive()
        advance(house)

    for _ in range(4):
        blob.kill_reader(meanwhile=go_on)
    settle(house)
    assert [one.state for one in snapshots(house)] == ["failed", "judged", "judged"]
    assert "died" in (snapshots(house)[0].error or "")


def test_time_for_spectra_ends_what_is_handed_out(tmp_path: Path, engine: ClusterWorkers) -> None:
    part = trained_parts()[0]
    outcome = engine.measure(job_of(part, tmp_path, SpectraPlan(budget_seconds=0.0))).result(
        SECONDS
    )
    assert outcome.measured.spectra
    assert outcome.measured.skipped > 0
    why = [row.get("spectral_norm") for row in outcome.measured.tensors.reasons]
    assert why.count(OUT_OF_TIME.reason) == outcome.measured.skipped
    everything = run_job(job_of(part, tmp_path, SpectraPlan()))
    assert outcome.measured.skipped + len(outcome.measured.spectra) == len(
        everything.measured.spectra
    )


def test_workers_without_the_blobs_say_so(tmp_path: Path, engine: ClusterWorkers) -> None:
    job = job_of(make_part(0), tmp_path, SpectraPlan(), blob_url="memory://only-of-this-process")
    with pytest.raises(StorageError, match=r"does not find under memory://.*BIFURK_BLOB_URL"):
        engine.measure(job).result(SECONDS)


def test_a_task_of_another_bifurk_is_not_unpickled() -> None:
    raised = unpacked(begin("0.0.1", b"not even a pickle", 1.0, 1.0))
    assert isinstance(raised, Raised)
    assert isinstance(raised.error, WorkersAwayError)
    assert f"has bifurk {bifurk.__version__}, the server 0.0.1" in str(raised.error)


def test_nothing_is_handed_out_beside_a_worker_of_another_bifurk(
    tmp_path: Path, engine: ClusterWorkers, cluster: Cluster
) -> None:
    described = tmp_path / "bifurk-9.9.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: bifurk\nVersion: 9.9\n")
    stranger = cluster.start_worker(PYTHONPATH=str(tmp_path))
    wait_for(lambda: engine.trouble == OTHER_RELEASE, "the stranger")
    assert engine.count == 0
    stop_group(stranger)
    wait_for_slots(engine, 2)


def test_a_server_measures_on_the_cluster_what_lies_in_a_bucket(
    start_server: Callable[..., Server], cluster: Cluster, bucket: Bucket, engine: ClusterWorkers
) -> None:
    wait_for_slots(engine, 2)
    server = start_server(BIFURK_DASK_SCHEDULER=cluster.address, BIFURK_BLOB_URL=bucket.url)
    for sequence in range(2):
        assert put_part(server, make_part(sequence))[0] == 201
    server.wait_until_judged(1, 2)
    assert "bifurk_jobs_limit 4.0" in server.get("/metrics")
    assert server.get("/readyz")["trouble"] is None
    assert server.process.poll() is None
    workers = psutil.Process(server.process.pid).children(recursive=True)
    assert workers == [], "no pool of its own"


def test_large_matrices_wait_for_the_worker_with_a_gpu_and_are_anybody_s_once_it_died(
    tmp_path: Path, engine: ClusterWorkers, cluster: Cluster
) -> None:
    wait_for_slots(engine, 2)
    assert cluster.gpu is not None
    job = job_of(trained_parts()[0], tmp_path, SpectraPlan(with_vectors=True))
    asleep = occupy_the_gpu(engine)
    measured = engine.measure(job)
    held = wait_for(lambda: large_tasks(engine), "large matrices at the worker with a GPU")
    assert not asleep.done()
    assert len(held) == 1, "and at no other"
    stop_group(cluster.gpu)
    assert numbers(measured.result(SECONDS)) == numbers(run_job(job))


def test_a_scheduler_that_died_is_waited_for_and_loses_nothing(
    make_house: MakeHouse, engine: ClusterWorkers, cluster: Cluster, here: House
) -> None:
    house = make_house(engine)
    train(house)
    blob = waiting(house, cluster, place=3)
    blob.wait_for_reader(lambda: advance(house))
    cluster.kill_scheduler()
    wait_for(lambda: engine.trouble == AWAY, "the loss")
    advance(house)
    assert house.states().count("received") > 1
    blob.release()
    blob.let_go()
    cluster.start_scheduler()
    cluster.start_worker()
    wait_for_slots(engine, 1)
    settle(house)
    assert {(one.state, one.tries) for one in snapshots(house)} == {("judged", 0)}
    assert_same(house, here)


def assert_same(house: House, here: House) -> None:
    """All that was made of the training, bit for bit, and nothing of it twice."""
    assert statistics(house) == statistics(here)
    assert spectra(house) == spectra(here) != []
    assert stripped(house) == stripped(here)
    assert told(house) == told(here)


def occupy_the_gpu(engine: ClusterWorkers) -> Any:
    """Has the worker with a GPU sleep: whatever else it is given waits, and what need not go there
    goes to the other."""

    async def asked() -> Any:
        client = engine._connection.client
        assert client is not None
        told = await client.scheduler.identity()
        [gpu] = [address for address, one in told["workers"].items() if one["resources"]]
        sleeping = client.submit(time.sleep, SECONDS, workers=[gpu])
        while not (await client.processing()).get(gpu):
            await asyncio.sleep(0.05)
        return sleeping

    return engine._soon(asked()).result(SECONDS)


def large_tasks(engine: ClusterWorkers) -> dict[str, list[str]]:
    """By worker, those that it was given and that are not done."""

    async def asked() -> dict[str, list[str]]:
        client = engine._connection.client
        return {} if client is None else await client.processing()

    return {
        worker: large
        for worker, keys in engine._soon(asked()).result(SECONDS).items()
        if (large := [key for key in keys if "large_spectra" in key])
    }


def numbers(outcome: MeasureOutcome) -> tuple[bytes, dict[str, bytes]]:
    """All statistics and singular values, bit for bit."""
    spectra = outcome.measured.spectra
    return outcome.measured.tensors.values.tobytes(), {
        name: spectra[name].singular_values.tobytes() for name in sorted(spectra)
    }
