"""PostgreSQL is cut off and started again under two workers: they go on, and do nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from bifurk_service.store.engine import Database
from bifurk_service.store.leases import is_first
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    AttemptLease,
    Event,
    Run,
    RunningPipeline,
    Snapshot,
    StoredPart,
)
from tests.api.filling import Caller, broken_part
from tests.cluster.waiting import WaitingBlob
from tests.deploy.postgres import Postgres
from tests.deploy.worker import Worker
from tests.parts import put_part
from tests.server import Server, wait_for

RUNS = ("a", "b")
SNAPSHOTS = 6
LEASE_SECONDS = "2"


@pytest.fixture
def environment(own: Postgres) -> dict[str, str]:
    return {
        "BIFURK_DATABASE_URL": own.bifurk("restarting"),
        "BIFURK_PIPELINE": "false",
        "BIFURK_LEASE_SECONDS": LEASE_SECONDS,
        "BIFURK_MEASURE_WORKERS": "1",
    }


@pytest.fixture
def workers(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[int, Worker]]:
    """Two, by process id."""
    started = [Worker(tmp_path / "data", environment, name=f"worker-{one}") for one in range(2)]
    assert all(worker.url for worker in started)
    yield {worker.process.pid: worker for worker in started}
    for worker in started:
        worker.stop()


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[Database]:
    database = Database(environment["BIFURK_DATABASE_URL"])
    yield database
    database.close()


def test_two_workers_outlive_their_database_and_judge_everything_once(
    own: Postgres,
    environment: dict[str, str],
    workers: dict[int, Worker],
    database: Database,
    start_server: Callable[..., Server],
    tmp_path: Path,
) -> None:
    caller = Caller(start_server(tmp_path / "data", **environment))
    send(caller, 0, 1)
    runs = {name: caller.run_id("tests", name) for name in RUNS}
    for run in runs.values():
        caller.wait_until_judged(run, 2)
    send(caller, 3)
    wait_for(lambda: holders(database) == set(workers), "a run for each worker")

    measured = WaitingBlob(
        tmp_path / "data/blobs" / blob_of(database, "a", 3), lambda: children(workers)
    )
    caller.post_part(broken_part(2, run="a"))
    measured.wait_for_reader()
    caller.wait_until_judged(runs["a"], 3)
    own.halt()
    measured.deliver()
    assert put_part(caller.server, broken_part(2, run="b"))[0] == 503
    assert caller.request("GET", "/readyz")[0] == 503
    for worker in workers.values():
        wait_for(lambda one=worker: "no sign of life" in one.said(), "notice of the loss")
    own.start()

    wait_for(lambda: put_part(caller.server, broken_part(2, run="b"))[0] == 201, "the refused part")
    send(caller, 5)
    for run in runs.values():
        caller.wait_until_judged(run, 4)
    wait_for(lambda: holders(database) == set(workers), "a run for each worker again")
    assert leader(database) in workers
    send(caller, 4)
    for run in runs.values():
        caller.wait_until_judged(run, SNAPSHOTS)

    assert [worker.process.poll() for worker in workers.values()] == [None, None]
    assert "Traceback" not in "".join(worker.said() for worker in workers.values())
    each = {(name, sequence): 1 for name in RUNS for sequence in range(SNAPSHOTS)}
    assert judgements(database) == each
    assert tries(database) == {0}
    rows = rows_by_step(database)
    assert len(rows) == SNAPSHOTS
    assert len(set(rows.values())) == 1, "none has fewer than the others"


def send(caller: Caller, *sequences: int) -> None:
    """Parts of both runs; one that comes ahead of its turn keeps a run waiting, and so leased."""
    for sequence in sequences:
        for name in RUNS:
            caller.post_part(broken_part(sequence, run=name))


def children(workers: dict[int, Worker]) -> list[int]:
    """Ids of the processes that measure."""
    return [child.pid for pid in workers for child in psutil.Process(pid).children(recursive=True)]


def blob_of(database: Database, run: str, sequence: int) -> str:
    query = select(StoredPart.blob_key).join(Snapshot).join(Attempt).join(Run)
    with database.read() as session:
        return session.scalars(query.where(Run.slug == run, Snapshot.sequence == sequence)).one()


def holders(database: Database) -> set[int]:
    """Process ids of those that hold something."""
    query = select(RunningPipeline.name).join(
        AttemptLease, AttemptLease.holder == RunningPipeline.id
    )
    with database.read() as session:
        return {int(name.split(":")[1]) for name in session.scalars(query)}


def leader(database: Database) -> int | None:
    """Process id of the one that does the chores."""
    with database.read() as session:
        running = session.execute(select(RunningPipeline.id, RunningPipeline.name)).all()
        return next((int(n.split(":")[1]) for one, n in running if is_first(session, one)), None)


def judgements(database: Database) -> Counter[tuple[str, int]]:
    """How often each snapshot was told to be judged."""
    query = select(Run.slug, Event.data).join(Run).where(Event.kind == "snapshot")
    with database.read() as session:
        found = session.execute(query).all()
    return Counter((name, data["sequence"]) for name, data in found if data["state"] == "judged")


def tries(database: Database) -> set[int]:
    with database.read() as session:
        return set(session.scalars(select(Snapshot.tries)))


def rows_by_step(database: Database) -> Counter[int]:
    """How many rows of statistics there are."""
    with database.read() as session:
        return Counter(session.scalars(select(TENSOR_STATS.c.step)))
