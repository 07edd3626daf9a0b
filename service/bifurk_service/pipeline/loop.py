"""The one thread that moves snapshots on: measured, judged, late or failed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.logs import bound
from bifurk_service.notify.rules import Policy, Ruler
from bifurk_service.pipeline.dispatch import (
    MOST_TRIES,
    RETRY_SECONDS,
    Dispatch,
    SpectraSchedule,
)
from bifurk_service.pipeline.judging import AttemptJudge, pass_over
from bifurk_service.pipeline.order import in_order
from bifurk_service.pipeline.sweeping import sweep_orphans
from bifurk_service.pipeline.workers import Workers
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.snapshots import (
    MEASURED,
    RECEIVED,
    failed_sequences,
    waiting_attempts,
    waiting_snapshots,
)

log = logging.getLogger("bifurk.service")

IDLE_SECONDS: Final = 1.0
"""How often deadlines are looked at when nothing arrives."""
CHORES_SECONDS: Final = 10.0
ATTEMPT_WINDOW: Final = 32
"""Snapshots of one attempt looked at in one round: enough to keep every worker busy."""
JUDGE_IDLE_SECONDS: Final = 600.0
"""Detectors that had nothing to judge for this long are put away; taking them up is cheap."""


class Pipeline:
    """Takes up whatever is received and not judged, also what an earlier process left.

    Args:
        database: the durable queue. blobs: the parts. workers: what measures.
        part_timeout_seconds: how long a gap is waited for. spectra: what they may cost.
        policy: the rules on alerts.
        chores: called every ``CHORES_SECONDS`` in the pipeline's thread.
        observe: told of every move of a snapshot: ``measured`` with its seconds, ``judged``,
            with the seconds since it was received, ``late``, ``failed``.
        monotonic: the clock of deadlines.
    """

    def __init__(  # noqa: PLR0913 - one argument a part that it is put together from
        self,
        database: Database,
        blobs: BlobStore,
        workers: Workers,
        *,
        part_timeout_seconds: float,
        spectra: SpectraSchedule,
        chores: Callable[[], None],
        observe: Callable[[str, float], None],
        policy: Ruler = Policy(),  # noqa: B008 - frozen, and empty
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._policy = policy
        self._part_timeout_seconds = part_timeout_seconds
        self._chores = chores
        self._next_chores = 0.0
        self._observe = observe
        self._monotonic = monotonic
        self._judges: dict[int, _SeatedJudge] = {}
        self._troubles: dict[int, int] = {}
        self._first_seen: dict[int, dict[int, float]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._dispatch = Dispatch(
            database,
            blobs,
            workers,
            spectra=spectra,
            on_done=self._wake.set,
            observe=observe,
            monotonic=monotonic,
        )

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="bifurk-pipeline", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def jobs(self) -> int:
        """Snapshots that are with workers."""
        return self._dispatch.running

    @property
    def jobs_limit(self) -> int:
        """How many it hands out at once."""
        return self._dispatch.limit

    def wake(self) -> None:
        """Says that something was received."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread, puts the detectors' memory away and lets the workers go."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for seated in self._judges.values():
            self._unless_it_fails(seated.judge.put_away)
        self._dispatch.close()

    def _run(self) -> None:
        self._unless_it_fails(lambda: sweep_orphans(self._database, self._blobs))
        while not self._stopping.is_set():
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            for duty in (self.advance, self._do_chores):
                if not self._unless_it_fails(duty):
                    self._stopping.wait(RETRY_SECONDS)

    @staticmethod
    def _unless_it_fails(duty: Callable[[], object]) -> bool:
        """Whether it went well; this thread ends for nothing."""
        try:
            duty()
        except StorageError as error:
            log.warning("the pipeline waits for storage: %s", error.detail)
        except Exception:
            log.exception("the pipeline met an error and goes on")
        else:
            return True
        return False

    def _do_chores(self) -> None:
        now = self._monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + CHORES_SECONDS
        for attempt_id, seated in list(self._judges.items()):
            if now - seated.used > JUDGE_IDLE_SECONDS:
                del self._judges[attempt_id]
                seated.judge.put_away()
        self._chores()

    def advance(self) -> None:
        """One round: keeps what workers returned, judges what is next, hands out what waits.

        Raises:
            StorageError: the disk or the database takes nothing now.
        """
        self._dispatch.delete_stale_blobs()
        self._dispatch.collect()
        with self._database.read() as session:
            attempts = waiting_attempts(session)
        self._first_seen = {a: self._first_seen.get(a, {}) for a in attempts}
        for attempt_id in attempts:
            if self._stopping.is_set():
                return
            self._advance_attempt(attempt_id)

    def _advance_attempt(self, attempt_id: int) -> None:
        with self._database.read() as session:
            attempt = session.get(Attempt, attempt_id)
        if attempt is not None:
            with bound(run_id=attempt.run_id, attempt=attempt.slug):
                self._move_on(attempt)

    def _move_on(self, attempt: Attempt) -> None:
        attempt_id = attempt.id
        with self._database.read() as session:
            waiting = waiting_snapshots(session, attempt_id, limit=ATTEMPT_WINDOW)
            absent = [(first, last) for first, last in attempt.lost_sequences]
            absent += [(sequence, sequence) for sequence in failed_sequences(session, attempt)]
        overdue = self._overdue(attempt_id, waiting)
        ready = in_order(attempt.cursor, waiting, absent=absent, overdue=overdue)
        late = [
            snapshot
            for snapshot in waiting
            if snapshot.sequence <= attempt.cursor
            and (snapshot.received_parts >= snapshot.expected_parts or snapshot.sequence in overdue)
        ]
        for snapshot in [*late, *ready]:
            if snapshot.state == RECEIVED:
                with bound(sequence=snapshot.sequence):
                    self._dispatch.hand_out(snapshot)
        for snapshot in late:
            if snapshot.state == MEASURED:
                pass_over(self._database, snapshot.id)
                self._observe("late", 0.0)
        self._judge(attempt_id, ready)

    def _overdue(self, attempt_id: int, waiting: list[Snapshot]) -> set[int]:
        """By this process's own clock: a wall clock that is set back must not stop a run."""
        now = self._monotonic()
        known = self._first_seen[attempt_id]
        seen = {snapshot.id: known.get(snapshot.id, now) for snapshot in waiting}
        self._first_seen[attempt_id] = seen
        return {
            snapshot.sequence
            for snapshot in waiting
            if now - seen[snapshot.id] > self._part_timeout_seconds
        }

    def _judge(self, attempt_id: int, ready: list[Snapshot]) -> None:
        """A snapshot that cannot be judged holds up its own attempt, and not for ever."""
        for snapshot in ready:
            if snapshot.state != MEASURED or self._stopping.is_set():
                return
            try:
                with bound(sequence=snapshot.sequence):
                    news = self._seated(attempt_id).judge(snapshot.id)
                    log.debug("judged, %d alerts raised or changed", news)
            except StorageError:
                self._judges.pop(attempt_id, None)
                raise
            except Exception as error:
                with bound(sequence=snapshot.sequence):
                    log.exception("snapshot %s cannot be judged", snapshot.id)
                self._judges.pop(attempt_id, None)
                self._troubles[snapshot.id] = self._troubles.get(snapshot.id, 0) + 1
                if self._troubles[snapshot.id] >= MOST_TRIES:
                    del self._troubles[snapshot.id]
                    self._dispatch.give_up(snapshot.id, f"{type(error).__name__}: {error}")
                return
            self._troubles.pop(snapshot.id, None)
            self._observe("judged", max(0.0, time.time() - snapshot.received_at))

    def _seated(self, attempt_id: int) -> AttemptJudge:
        seated = self._judges.get(attempt_id)
        if seated is None:
            seated = _SeatedJudge(AttemptJudge(self._database, attempt_id, self._policy))
            self._judges[attempt_id] = seated
        seated.used = self._monotonic()
        return seated.judge


class _SeatedJudge:
    def __init__(self, judge: AttemptJudge) -> None:
        self.judge = judge
        self.used = 0.0
