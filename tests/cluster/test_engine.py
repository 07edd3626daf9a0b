"""Snapshots measured on a real scheduler and real workers: the same, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

import bifurk
from bifurk.wire import Part, encode
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.cluster.connection import AWAY, OTHER_RELEASE
from bifurk_service.pipeline.cluster.engine import ClusterWorkers
from bifurk_service.pipeline.cluster.tasks import Raised, begin, unpacked
from bifurk_service.pipeline.measuring import MeasureJob, run_job
from bifurk_service.pipeline.reading import BlobRef
from bifurk_service.pipeline.workers import WorkersAwayError
from bifurk_service.stats.measure import OUT_OF_TIME
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.models import TENSOR_STATS, Snapshot, SpectrumRow, StoredPart
from tests.cluster.bucket import Bucket
from tests.cluster.processes import Cluster, stop_group, wait_for_slots
from tests.cluster.trained import trained_parts
from tests.cluster.waiting import WaitingBlob
from tests.parts import make_part, put_part
from tests.pipeline.house import House
from tests.server import Server, wait_for

MakeHouse = Callable[..., House]
SECONDS = 60.0


def test_a_training_measures_the_same_as_on_this_machine(
    make_house: MakeHouse, engine: ClusterWorkers
) -> None:
    on_cluster, here = make_house(engine), make_house()
    for house in (on_cluster, here):
        for part in trained_parts():
            house.receive(part)
        settle(house)
    assert statistics(on_cluster) == statistics(here)
    assert spectra(on_cluster) == spectra(here) != []
    assert compared_with_the_first(here) > 0
    assert stripped(on_cluster) == stripped(here)


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
    for _ in range(4):
        blob.kill_reader(meanwhile=lambda: advance(house))
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
    raised = unpacked(begin("0.0.1", b"not even a pickle", 1.0))
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


def test_a_scheduler_that_died_is_waited_for_and_loses_nothing(
    make_house: MakeHouse, engine: ClusterWorkers, cluster: Cluster
) -> None:
    house = make_house(engine)
    house.receive(make_part(0))
    blob = waiting(house, cluster)
    house.pipeline.advance()
    blob.wait_for_reader()
    cluster.kill_scheduler()
    wait_for(lambda: engine.trouble == AWAY, "the loss")
    house.receive(make_part(1))
    house.pipeline.advance()
    assert house.states() == ["received", "received"]
    blob.release()
    blob.let_go()
    cluster.start_scheduler()
    cluster.start_worker()
    wait_for_slots(engine, 1)
    settle(house)
    assert [(one.state, one.tries) for one in snapshots(house)] == [("judged", 0)] * 2


def waiting(house: House, cluster: Cluster) -> WaitingBlob:
    """The first part, which keeps whoever reads it."""
    with house.database.read() as session:
        key = session.scalars(select(StoredPart.blob_key).order_by(StoredPart.id)).first()
    return WaitingBlob(Path(house.blobs.url) / str(key), cluster.worker_ids)


def advance(house: House) -> set[str]:
    """One round of the pipeline, a second after the last; the states there are then."""
    house.clock.advance(1.0)
    house.pipeline.advance()
    return set(house.states())


def settle(house: House) -> None:
    """Rounds until everything is judged or failed."""
    wait_for(lambda: advance(house) <= {"judged", "failed"}, "the end of all snapshots")


def job_of(
    part: Part, folder: Path, plan: SpectraPlan, *, blob_url: str | None = None
) -> MeasureJob:
    blobs = open_blobs(blob_url or str(folder / "blobs"))
    blobs.put("one.part", encode(part))
    return MeasureJob(
        snapshot_id=1,
        blob_url=blobs.url,
        parts=(BlobRef(key="one.part", encoding="zstd"),),
        previous=(),
        first=(),
        steps_since_previous=None,
        plan=plan,
    )


def snapshots(house: House) -> list[Snapshot]:
    with house.database.read() as session:
        return list(session.scalars(select(Snapshot).order_by(Snapshot.id)))


def statistics(house: House) -> list[tuple[Any, ...]]:
    """Every statistic of every tensor, bit for bit."""
    with house.database.read() as session:
        rows = session.execute(select(TENSOR_STATS).order_by(*TENSOR_STATS.primary_key)).all()
    return [tuple(row) for row in rows]


def compared_with_the_first(house: House) -> int:
    """How many times singular vectors were."""
    column = TENSOR_STATS.c.subspace_overlap_to_first
    with house.database.read() as session:
        return len(session.scalars(select(column).where(column.is_not(None))).all())


def spectra(house: House) -> list[tuple[Any, ...]]:
    with house.database.read() as session:
        found = session.scalars(
            select(SpectrumRow).order_by(SpectrumRow.tensor_id, SpectrumRow.step)
        )
        return [(one.tensor_id, one.step, one.singular_values, one.document) for one in found]


def stripped(house: House) -> list[bytes]:
    """The stored parts as they are kept in the end."""
    with house.database.read() as session:
        keys = list(session.scalars(select(StoredPart.blob_key).order_by(StoredPart.id)))
    return [house.blobs.get(key) for key in keys]
