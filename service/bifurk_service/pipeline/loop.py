"""The one thread that moves snapshots: hands them to workers, keeps what comes back, judges."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.pipeline.judging import AttemptJudge, pass_over
from bifurk_service.pipeline.measuring import BlobRef, MeasureJob, MeasureOutcome, run_job
from bifurk_service.pipeline.order import in_order
from bifurk_service.pipeline.workers import Workers
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.measurements import keep_measured
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.snapshots import (
    FAILED,
    MEASURED,
    RECEIVED,
    STRIPPED_SUFFIX,
    failed_sequences,
    finish_snapshot,
    forget_stale_blobs,
    keep_stripped,
    neighbours,
    parts_of,
    stale_blobs,
    waiting_attempts,
    waiting_snapshots,
)

log = logging.getLogger("bifurk.service")

IDLE_SECONDS: Final = 1.0
"""How often deadlines are looked at when nothing arrives."""
RETRY_SECONDS: Final = 2.0
CHORES_SECONDS: Final = 10.0
MOST_TRIES: Final = 3
"""A part that has taken its worker down this often is given up and shown as failed."""
ATTEMPT_WINDOW: Final = 32
"""Snapshots of one attempt looked at in one round: enough to keep every worker busy."""


class Pipeline:
    """Takes up whatever is received and not judged, also what an earlier process left.

    Args:
        database: the durable queue. blobs: the parts. workers: what measures.
        part_timeout_seconds: how long a gap is waited for. decoded_bytes: limit for unpacking.
        chores: called every ``CHORES_SECONDS`` in the pipeline's thread.
        observe: told of every move of a snapshot: ``measured`` with its seconds, ``judged``,
            ``late``, ``failed``. monotonic: the clock of deadlines.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        workers: Workers,
        *,
        part_timeout_seconds: float,
        decoded_bytes: int,
        chores: Callable[[], None],
        observe: Callable[[str, float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._workers = workers
        self._part_timeout_seconds = part_timeout_seconds
        self._decoded_bytes = decoded_bytes
        self._chores = chores
        self._next_chores = 0.0
        self._observe = observe
        self._monotonic = monotonic
        self._jobs: dict[int, _Running] = {}
        self._judges: dict[int, AttemptJudge] = {}
        self._first_seen: dict[int, float] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="bifurk-pipeline", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Says that something was received."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread, puts the detectors' memory away and lets the workers go."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for judge in self._judges.values():
            judge.put_away()
        self._workers.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            try:
                self.advance()
                self._do_chores()
            except StorageError as error:
                log.warning("the pipeline waits for storage: %s", error.detail)
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("the pipeline met an error and goes on")
                self._stopping.wait(RETRY_SECONDS)

    def _do_chores(self) -> None:
        if self._monotonic() >= self._next_chores:
            self._next_chores = self._monotonic() + CHORES_SECONDS
            self._chores()

    def advance(self) -> None:
        """One round: keeps what workers returned, judges what is next, hands out what waits."""
        self._collect()
        with self._database.read() as session:
            attempts = waiting_attempts(session)
        for attempt_id in attempts:
            if self._stopping.is_set():
                return
            self._advance_attempt(attempt_id)
        self._delete_stale_blobs()

    def _collect(self) -> None:
        for snapshot_id, running in list(self._jobs.items()):
            if running.future.done():
                self._keep(snapshot_id, running)
                del self._jobs[snapshot_id]

    def _keep(self, snapshot_id: int, running: _Running) -> None:
        try:
            outcome = running.future.result()
        except (BrokenExecutor, FileNotFoundError) as error:
            self._count_try(snapshot_id, error)
        except Exception as error:
            log.exception("snapshot %s cannot be measured", snapshot_id)
            self._fail(snapshot_id, f"{type(error).__name__}: {error}")
        else:
            self._keep_outcome(outcome)
            self._observe("measured", self._monotonic() - running.started)

    def _keep_outcome(self, outcome: MeasureOutcome) -> None:
        with self._database.read() as session:
            parts = parts_of(session, outcome.snapshot_id)
        if not parts:
            log.info("the run of snapshot %s was deleted meanwhile", outcome.snapshot_id)
            return
        for part, stripped in zip(parts, outcome.stripped, strict=True):
            if stripped is not None:
                self._blobs.put(f"{part.blob_key}{STRIPPED_SUFFIX}", stripped)
        with self._database.write() as session:
            snapshot = session.get(Snapshot, outcome.snapshot_id)
            if snapshot is None or snapshot.state != RECEIVED:
                return
            keep_measured(session, snapshot, outcome.measured, now=time.time())
            keep_stripped(
                session, snapshot, [None if s is None else len(s) for s in outcome.stripped]
            )

    def _count_try(self, snapshot_id: int, error: BaseException) -> None:
        if isinstance(error, BrokenExecutor):
            self._workers.replace()
        with self._database.write() as session:
            snapshot = session.get(Snapshot, snapshot_id)
            if snapshot is None:
                return
            snapshot.tries += 1
            given_up = snapshot.tries >= MOST_TRIES
        log.warning("snapshot %s lost its worker: %s", snapshot_id, error)
        if given_up:
            self._fail(snapshot_id, f"given up after {MOST_TRIES} tries: {error}")

    def _fail(self, snapshot_id: int, reason: str) -> None:
        with self._database.write() as session:
            snapshot = session.get(Snapshot, snapshot_id)
            if snapshot is not None:
                snapshot.error = reason
                finish_snapshot(session, snapshot, FAILED, now=time.time())
        self._observe("failed", 0.0)

    def _advance_attempt(self, attempt_id: int) -> None:
        with self._database.read() as session:
            attempt = session.get(Attempt, attempt_id)
            if attempt is None:
                return
            waiting = waiting_snapshots(session, attempt_id, limit=ATTEMPT_WINDOW)
            absent = [(first, last) for first, last in attempt.lost_sequences]
            absent += [(sequence, sequence) for sequence in failed_sequences(session, attempt)]
        ready = in_order(attempt.cursor, waiting, absent=absent, overdue=self._overdue(waiting))
        late = [snapshot for snapshot in waiting if snapshot.sequence <= attempt.cursor]
        for snapshot in [*late, *ready]:
            if snapshot.state == RECEIVED:
                self._hand_out(snapshot)
        for snapshot in late:
            if snapshot.state == MEASURED:
                pass_over(self._database, snapshot.id)
                self._observe("late", 0.0)
        self._judge(attempt_id, ready)

    def _overdue(self, waiting: list[Snapshot]) -> set[int]:
        """By this process's own clock: a wall clock that is set back must not stop a run."""
        now = self._monotonic()
        return {
            snapshot.sequence
            for snapshot in waiting
            if now - self._first_seen.setdefault(snapshot.id, now) > self._part_timeout_seconds
        }

    def _judge(self, attempt_id: int, ready: list[Snapshot]) -> None:
        for snapshot in ready:
            if snapshot.state != MEASURED or self._stopping.is_set():
                return
            try:
                if attempt_id not in self._judges:
                    self._judges[attempt_id] = AttemptJudge(self._database, attempt_id)
                self._judges[attempt_id].judge(snapshot.id)
            except BaseException:
                self._judges.pop(attempt_id, None)
                raise
            self._first_seen.pop(snapshot.id, None)
            self._observe("judged", 0.0)

    def _hand_out(self, snapshot: Snapshot) -> None:
        """A snapshot that has taken a worker down runs alone, so that it takes no other along."""
        alone = snapshot.tries > 0 or any(running.suspect for running in self._jobs.values())
        full = len(self._jobs) >= (1 if alone else 2 * self._workers.count)
        if snapshot.id in self._jobs or full:
            return
        future = self._workers.submit(run_job, self._job(snapshot))
        future.add_done_callback(lambda _: self._wake.set())
        self._jobs[snapshot.id] = _Running(future, self._monotonic(), suspect=snapshot.tries > 0)

    def _job(self, snapshot: Snapshot) -> MeasureJob:
        with self._database.read() as session:
            previous, first = neighbours(session, snapshot)
            references = [
                tuple(
                    BlobRef(key=part.blob_key, encoding=part.encoding)
                    for part in (parts_of(session, other.id) if other is not None else [])
                )
                for other in (snapshot, previous, first)
            ]
        return MeasureJob(
            snapshot_id=snapshot.id,
            blob_url=self._blobs.url,
            parts=references[0],
            previous=references[1],
            first=references[2],
            steps_since_previous=None if previous is None else snapshot.step - previous.step,
            decoded_bytes=self._decoded_bytes,
        )

    def _delete_stale_blobs(self) -> None:
        """Only while no worker runs: one of them may be reading what is to go."""
        if self._jobs:
            return
        with self._database.read() as session:
            stale = stale_blobs(session)
        if stale:
            for _, key in stale:
                self._blobs.delete(key)
            with self._database.write() as session:
                forget_stale_blobs(session, [part_id for part_id, _ in stale])


class _Running:
    def __init__(self, future: Future[MeasureOutcome], started: float, *, suspect: bool) -> None:
        self.future = future
        self.started = started
        self.suspect = suspect
