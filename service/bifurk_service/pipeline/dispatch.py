"""Hands snapshots to workers and keeps what comes back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.logs import bound, fields
from bifurk_service.pipeline.jobs import (
    SpectraSchedule,
    job_of,
    needs_earlier_vectors,
    settle_base,
)
from bifurk_service.pipeline.measuring import MeasureJob, MeasureOutcome
from bifurk_service.pipeline.workers import Engine, WorkersAwayError, WorkersLostError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease, LeaseLostError, check_held
from bifurk_service.store.measurements import keep_measured
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.snapshots import (
    FAILED,
    RECEIVED,
    finish_snapshot,
    has_base,
    keep_stripped,
    stripped_key,
    with_attempt,
)
from bifurk_service.store.spectra import keep_spectra

log = logging.getLogger("bifurk.service")

RETRY_SECONDS: Final = 2.0
PUT_AGAIN_SECONDS: Final = 5.0
"""After a stripped part could not be written."""
MOST_TRIES: Final = 3
"""A part that has taken its worker down this often is given up and shown as failed."""
PASSING: Final = (BrokenExecutor, CancelledError, OSError, MemoryError)
"""What may be over the next time: a lost worker, a full table of files, a slow disk."""
NOT_ITS_FAULT: Final = (WorkersAwayError, StorageError)
"""What keeps any snapshot from being measured, and is waited for however long it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    future: Future[MeasureOutcome]
    job: MeasureJob
    lease: Lease
    started: float
    suspect: bool
    about: Mapping[str, object]
    """What lines of the log about it carry."""


class Dispatch:
    """What is being measured.

    Args:
        spectra: what they may cost.
        on_done: called from a worker's thread when something can be collected.
        observe: told ``measured`` with its seconds, and ``failed``.
        monotonic: the clock of retries.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        workers: Engine,
        *,
        spectra: SpectraSchedule,
        on_done: Callable[[], None],
        observe: Callable[[str, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._workers = workers
        self._spectra = spectra
        self._on_done = on_done
        self._observe = observe
        self._monotonic = monotonic
        self._running: dict[int, _Running] = {}
        self._not_before: dict[int, float] = {}

    def hand_out(self, session: Session, snapshot: Snapshot, lease: Lease) -> bool:
        """Gives a snapshot to a worker, if one is free and it is not with one already.

        A snapshot that has taken a worker down runs alone, so that it takes no other along.

        Args:
            session: to read with. snapshot: read with it. lease: on its attempt.

        Returns:
            Whether it went to one.

        Raises:
            LeaseLostError: its attempt is another process's.
        """
        alone = snapshot.tries > 0 or any(running.suspect for running in self._running.values())
        full = len(self._running) >= (min(1, self.limit) if alone else self.limit)
        waits = self._not_before.get(snapshot.id, 0.0) > self._monotonic()
        if snapshot.id in self._running or full or waits:
            return False
        if needs_earlier_vectors(session, snapshot, every=self._spectra.vectors_every):
            return False
        job = self._job(session, snapshot, lease)
        future = self._workers.measure(job)
        future.add_done_callback(lambda _: self._on_done())
        self._running[snapshot.id] = _Running(
            future=future,
            job=job,
            lease=lease,
            started=self._monotonic(),
            suspect=snapshot.tries > 0,
            about=fields(),
        )
        return True

    def _job(self, session: Session, snapshot: Snapshot, lease: Lease) -> MeasureJob:
        if has_base(session.get_one(Attempt, snapshot.attempt_id), snapshot):
            return job_of(session, snapshot, blob_url=self._blobs.url, spectra=self._spectra)
        settle_base(self._database, snapshot, lease)
        with self._database.read() as later:
            return job_of(later, snapshot, blob_url=self._blobs.url, spectra=self._spectra)

    @property
    def has_room(self) -> bool:
        """Whether there is a worker for one more."""
        return self.running < self.limit

    @property
    def running(self) -> int:
        """Snapshots that are with workers."""
        return len(self._running)

    @property
    def limit(self) -> int:
        """How many may be: one that is measured a worker, and the next."""
        return 2 * self._workers.count

    def collect(self) -> Iterator[int]:
        """Keeps what workers have returned; gives the attempt of each when it is kept.

        Raises:
            StorageError: it cannot be kept now; it is kept the next time.
        """
        for snapshot_id, running in list(self._running.items()):
            if not running.future.done():
                continue
            del self._running[snapshot_id]
            with bound(**running.about):
                self._collect(snapshot_id, running)
            yield running.lease.attempt_id

    def _collect(self, snapshot_id: int, running: _Running) -> None:
        try:
            self._settle(snapshot_id, running)
        except StorageError:
            self._running[snapshot_id] = running
            raise
        except LeaseLostError:
            log.info("snapshot %s is measured by another process", snapshot_id)
        except Exception as error:
            log.exception("snapshot %s cannot be measured", snapshot_id)
            with suppress(LeaseLostError):
                self.give_up(snapshot_id, f"{type(error).__name__}: {error}", running.lease)

    @property
    def busy_attempts(self) -> frozenset[int]:
        """The attempts of which something is being measured."""
        return frozenset(running.lease.attempt_id for running in self._running.values())

    def give_up(self, snapshot_id: int, reason: str, lease: Lease) -> None:
        """Ends a snapshot as failed, so that the attempt goes on without it.

        Raises:
            LeaseLostError: its attempt is another process's.
        """
        self._not_before.pop(snapshot_id, None)
        with self._database.write() as session:
            check_held(session, lease)
            snapshot = session.get(Snapshot, snapshot_id)
            if snapshot is not None:
                snapshot.error = reason
                finish_snapshot(session, snapshot, FAILED, now=time.time())
        self._observe("failed", 0.0)

    @property
    def read_now(self) -> frozenset[str]:
        """The keys of blobs that workers may be reading."""
        return frozenset(
            ref.key
            for running in self._running.values()
            for ref in (*running.job.parts, *running.job.previous, *running.job.first)
        )

    def close(self) -> None:
        """Waits for what runs; what it returns is measured again by the next server."""
        self._workers.close()

    def _settle(self, snapshot_id: int, running: _Running) -> None:
        try:
            outcome = running.future.result()
        except NOT_ITS_FAULT as error:
            after = getattr(error, "retry_after_seconds", None) or RETRY_SECONDS
            self._put_back(snapshot_id, error, after=after)
            return
        except PASSING as error:
            self._count_try(snapshot_id, error, running.lease)
            return
        if outcome.stripped:
            with self._database.write(in_line=False) as session:
                check_held(session, running.lease)
        try:
            self._put_stripped(outcome, running.lease)
        except StorageError as error:
            # Measured again then: what waits here would keep the other attempts from being so.
            self._put_back(snapshot_id, error, after=PUT_AGAIN_SECONDS)
            return
        kept = self._keep(outcome, running)
        self._not_before.pop(snapshot_id, None)
        if not kept:
            return
        seconds = self._monotonic() - running.started
        log.debug("measured in %.3g s", seconds)
        self._observe("measured", seconds)

    def _put_stripped(self, outcome: MeasureOutcome, lease: Lease) -> None:
        for key, stripped in outcome.stripped.items():
            self._blobs.put(stripped_key(key, lease.fence), stripped)

    def _keep(self, outcome: MeasureOutcome, running: _Running) -> bool:
        """Whether it is kept: not of a snapshot of which more has come, which is measured again."""
        lease = running.lease
        with self._database.write() as session:
            check_held(session, lease)
            found = with_attempt(session, outcome.snapshot_id)
            if found is None or found[0].state != RECEIVED:
                log.info("snapshot %s is not wanted any more", outcome.snapshot_id)
                return False
            snapshot, attempt = found
            if snapshot.received_parts > len(running.job.parts):
                log.info("a part of snapshot %s came while it was measured", snapshot.id)
                return False
            tensor_ids = keep_measured(
                session, attempt, snapshot, outcome.measured, pieces=outcome.pieces, now=time.time()
            )
            keep_spectra(session, attempt, snapshot, outcome.measured.spectra, tensor_ids)
            sizes = {key: len(stripped) for key, stripped in outcome.stripped.items()}
            keep_stripped(session, snapshot, sizes, fence=lease.fence)
            return True

    def _put_back(self, snapshot_id: int, error: Exception, *, after: float) -> None:
        """It waits for so many seconds, and this was no try."""
        self._not_before[snapshot_id] = self._monotonic() + after
        log.warning("snapshot %s waits: %s", snapshot_id, error)

    def _count_try(self, snapshot_id: int, error: BaseException, lease: Lease) -> None:
        if isinstance(error, BrokenExecutor):
            self._workers.replace()
        with self._database.write() as session:
            check_held(session, lease)
            snapshot = session.get(Snapshot, snapshot_id)
            if snapshot is None:
                return
            snapshot.tries = _tries_after(snapshot.tries, error)
            given_up = snapshot.tries >= MOST_TRIES
        self._not_before[snapshot_id] = self._monotonic() + RETRY_SECONDS
        log.warning("snapshot %s was not measured this time: %r", snapshot_id, error)
        if given_up:
            self.give_up(snapshot_id, f"given up after {MOST_TRIES} tries: {error!r}", lease)


def _tries_after(tries: int, error: BaseException) -> int:
    """Workers lost at the first try may be another snapshot's fault: alone it will be certain."""
    lost = error.times if isinstance(error, WorkersLostError) else 1
    return tries + lost if tries else min(lost, MOST_TRIES - 1)
