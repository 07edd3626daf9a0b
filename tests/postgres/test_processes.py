"""Workers in processes of their own: killed, stopped and woken, their attempts go to the others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bifurk_service.store.engine import Database
from bifurk_service.store.models import AttemptLease, RunningPipeline
from tests.api.filling import Caller, broken_part
from tests.deploy.worker import Worker
from tests.server import DEADLINE_SECONDS, Server, wait_for

SECONDS = "3"


@pytest.fixture
def environment(url: str) -> dict[str, str]:
    """Of processes that share a database."""
    return {
        "BIFURK_DATABASE_URL": url,
        "BIFURK_PIPELINE": "false",
        "BIFURK_LEASE_SECONDS": SECONDS,
        "BIFURK_MEASURE_WORKERS": "1",
    }


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Starts `bifurk worker`; each is stopped at the end."""
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(tmp_path / "data", environment, name=f"worker-{len(workers)}"))
        assert workers[-1].url
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.send_signal(signal.SIGCONT)
        worker.stop()


def leader(database: Database) -> str:
    """Name of the first that is registered: host, process id and a random word."""
    with database.read() as session:
        query = select(RunningPipeline.name).order_by(RunningPipeline.id).limit(1)
        return session.scalar(query) or ""


def holder(database: Database) -> int | None:
    """Process id of the worker that has the only attempt."""
    with database.read() as session:
        name = session.scalar(
            select(RunningPipeline.name).join(
                AttemptLease, AttemptLease.holder == RunningPipeline.id
            )
        )
        return int(name.split(":")[1]) if name else None


def test_what_a_worker_leaves_is_taken_over_once(
    start_server: Callable[..., Server],
    start_worker: Callable[[], Worker],
    environment: dict[str, str],
    database: Database,
    tmp_path: Path,
) -> None:
    caller = Caller(start_server(tmp_path / "data", **environment))
    workers = {one.process.pid: one for one in (start_worker(), start_worker())}
    caller.post_part(broken_part(0))
    run = caller.run_id("tests", "run")
    caller.wait_until_judged(run, 1)

    stopped = wait_for(lambda: holder(database), "a holder")
    workers[stopped].process.send_signal(signal.SIGSTOP)
    for sequence in range(1, 3):
        caller.post_part(broken_part(sequence))
    caller.wait_until_judged(run, 3)
    other = holder(database)
    assert other not in {None, stopped}

    workers[stopped].process.send_signal(signal.SIGCONT)
    wait_for(lambda: "said nothing for too long" in workers[stopped].said(), "its waking")
    caller.post_part(broken_part(3))
    caller.wait_until_judged(run, 4)
    assert holder(database) == other
    assert "Traceback" not in workers[stopped].said()

    workers[other].process.kill()
    workers[other].process.wait(timeout=DEADLINE_SECONDS)
    caller.post_part(broken_part(4))
    caller.wait_until_judged(run, 5)
    assert holder(database) == stopped
    wait_for(lambda: leader(database).split(":")[1] == str(stopped), "the other to be forgotten")
    judged = 'bifurk_snapshots_total{outcome="judged"} 2.0'
    wait_for(lambda: judged in workers[stopped].request("/metrics")[1], "the first and the last")
