"""One server's insides, without its processes and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bifurk.testing import ManualClock
from bifurk.wire import Part, WireLimits, content_digest, encode
from bifurk_service.domain import AttemptState
from bifurk_service.ingest.answers import Answers
from bifurk_service.ingest.receive import PartAddress, Receiver
from bifurk_service.notify.rules import Policy, Ruler
from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.loop import Pipeline
from bifurk_service.pipeline.presence import LEASE_SECONDS, Presence
from bifurk_service.pipeline.workers import Engine, Workers
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.runs import set_attempt_state
from tests.database import fresh_database
from tests.server import DEADLINE_SECONDS

PART_TIMEOUT_SECONDS = 60.0


class AtOnce(Executor):
    """Runs a job where it is handed out."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Held(Executor):
    """Runs a job when told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def do() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except OSError as error:
                future.set_exception(error)

        self.jobs.append(do)
        return future

    def finish(self, *, but: int = 0) -> int:
        """Does all that was handed out but the first ones; how many jobs that were."""
        jobs, self.jobs = self.jobs[but:], self.jobs[:but]
        for job in jobs:
            job()
        return len(jobs)


class House:
    """Database, blobs, receiver and pipeline of one server, without its processes and threads."""

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        self.database = database or fresh_database(folder)
        self.blobs = open_blobs(str(folder / "blobs"))
        self.receiver = Receiver(
            self.database,
            self.blobs,
            limits=WireLimits(),
            max_concurrent=4,
            on_received=lambda _outcome, _size: None,
            tell=Answers().about,
        )
        self.clock = ManualClock()
        self.spectra = SpectraSchedule(budget_seconds=60.0, vectors_every=3)
        self.chores_done: list[float] = []
        self.executor: Callable[[int], Executor] = ThreadPoolExecutor
        self.policy: Ruler = Policy()
        self.lease_seconds = LEASE_SECONDS
        self.presence: Presence
        self.pipeline = self.new_pipeline()

    def new_pipeline(self) -> Pipeline:
        self.presence = Presence(
            self.database, capacity=1, seconds=self.lease_seconds, monotonic=self.clock.now
        )
        return Pipeline(
            self.database,
            self.blobs,
            self.new_workers(),
            self.presence,
            part_timeout_seconds=PART_TIMEOUT_SECONDS,
            spectra=self.spectra,
            chores=lambda: self.chores_done.append(self.clock.now()),
            observe=lambda _outcome, _seconds: None,
            policy=self.policy,
            monotonic=self.clock.now,
        )

    def new_workers(self) -> Engine:
        return Workers(1, self.make_executor)

    def make_executor(self, count: int) -> Executor:
        return self.executor(count)

    def receive(self, part: Part) -> bool:
        body = encode(part)
        m = part.manifest
        address = PartAddress(
            project=m.project, run=m.run, attempt=m.attempt, step=m.step, rank=m.rank
        )
        received = self.receiver.receive(
            body, address, encoding="zstd", content_digest=content_digest(body)
        )
        return received.created

    def wait_in_vain(self) -> None:
        """A round, and then so long that what is missing is not waited for any more."""
        self.pipeline.advance()
        self.clock.advance(PART_TIMEOUT_SECONDS + 1.0)

    def finish(self) -> None:
        """The attempt says that it has ended."""
        with self.database.write() as session:
            attempt = session.get_one(Attempt, 1)
            set_attempt_state(session, attempt, AttemptState.FINISHED, now=0.0)

    def states(self, run: str = "run") -> list[str]:
        del run
        with self.database.read() as session:
            return [s.state for s in session.scalars(select(Snapshot).order_by(Snapshot.id))]

    def run_until(self, *wanted: str) -> None:
        """Rounds of the pipeline until all snapshots are in one of these states."""
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            self.pipeline.advance()
            if set(self.states()) <= set(wanted):
                return
            self.clock.advance(1.0)
            time.sleep(0.005)
        raise AssertionError(f"still {self.states()}")
