"""The one thread that moves snapshots on: measured, judged, late or failed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.logs import bound
from bifurk_service.notify.rules import Policy, Ruler
from bifurk_service.pipeline.deadlines import Deadlines
from bifurk_service.pipeline.dispatch import MOST_TRIES, RETRY_SECONDS, Dispatch
from bifurk_service.pipeline.duties import do_each, unless_it_fails
from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.judging import AttemptJudge, pass_over
from bifurk_service.pipeline.leases import Leases
from bifurk_service.pipeline.order import in_order
from bifurk_service.pipeline.pauses import Pauses
from bifurk_service.pipeline.presence import Presence
from bifurk_service.pipeline.stale_blobs import StaleBlobs
from bifurk_service.pipeline.sweeping import Sweeper
from bifurk_service.pipeline.turns import Turns
from bifurk_service.pipeline.workers import Engine
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease, LeaseLostError
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.snapshots import (
    MEASURED,
    RECEIVED,
    absent_sequences,
    waiting_snapshots,
)

log = logging.getLogger("bifurk.service")

IDLE_SECONDS: Final = 1.0
"""How often deadlines are looked at when nothing arrives."""
CHORES_SECONDS: Final = 10.0
ATTEMPT_WINDOW: Final = 32
"""Snapshots of one attempt looked at in one round: enough to keep every worker busy."""
IDLE_LEASE_SECONDS: Final = 600.0
"""An attempt of which nothing has come for this long is given back; taking it up is cheap."""


class Pipeline:
    """Takes up whatever is received and not judged, also what an earlier process left.

    Args:
        database: the durable queue. blobs: the parts. workers: what measures.
        presence: of this process among those that run a pipeline; whoever started it ends it.
        part_timeout_seconds: how long a gap is waited for. spectra: what they may cost.
        policy: the rules on alerts.
        chores: called every ``CHORES_SECONDS`` in the pipeline's thread.
        in_spare_time: goes on a little with what they have left, and says whether more is; called
            while nothing is measured and nothing comes.
        observe: told of every move of a snapshot: ``measured`` with its seconds, ``judged``,
            with the seconds since it was received, ``late``, ``failed``.
        monotonic: the clock of deadlines.
    """

    def __init__(  # noqa: PLR0913 - one argument a part that it is put together from
        self,
        database: Database,
        blobs: BlobStore,
        workers: Engine,
        presence: Presence,
        *,
        part_timeout_seconds: float,
        spectra: SpectraSchedule,
        chores: Callable[[], None],
        observe: Callable[[str, float], None],
        in_spare_time: Callable[[], bool] = lambda: False,
        policy: Ruler = Policy(),  # noqa: B008 - frozen, and empty
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._policy = policy
        self._chores = chores
        self._next_chores = 0.0
        self._observe = observe
        self._monotonic = monotonic
        self._presence = presence
        self._leases = Leases(database, presence, monotonic=monotonic)
        self._stale_blobs = StaleBlobs(database, blobs, monotonic=monotonic)
        self._turns = Turns(every_seconds=IDLE_SECONDS, monotonic=monotonic)
        self._sweeper = Sweeper(database, blobs, monotonic=monotonic)
        self._judges: dict[int, AttemptJudge] = {}
        self._troubles: dict[int, int] = {}
        self._deadlines = Deadlines(part_timeout_seconds, monotonic=monotonic)
        self._pauses = Pauses(IDLE_SECONDS, do_a_little=in_spare_time, monotonic=monotonic)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._dispatch = Dispatch(
            database,
            blobs,
            workers,
            spectra=spectra,
            on_done=self._pauses.end,
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
        self._pauses.end()

    def stop(self) -> None:
        """Ends the thread, puts the detectors' memory away, lets attempts and workers go."""
        self._stopping.set()
        self._pauses.end()
        if self._thread is not None:
            self._thread.join()
        self._sweeper.stop()
        for attempt_id in list(self._judges):
            unless_it_fails(partial(self._put_away, attempt_id))
        unless_it_fails(lambda: self._leases.give_back(self._leases.held))
        self._dispatch.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._pauses.pause(has_time=self.jobs == 0 and self._presence.leads())
            for duty in (self.advance, self._do_chores):
                if not unless_it_fails(duty):
                    self._stopping.wait(RETRY_SECONDS)

    def _do_chores(self) -> None:
        now = self._monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + CHORES_SECONDS
        do_each(
            lambda: self._give_back(self._leases.idle(IDLE_LEASE_SECONDS)),
            self._lead,
        )

    def _lead(self) -> None:
        if not self._presence.leads():
            self._sweeper.begin_anew()
            return
        self._sweeper.begin_if_due()
        self._chores()

    def advance(self) -> None:
        """One round: keeps what workers returned, judges what is next, hands out what waits.

        Raises:
            StorageError: the disk or the database takes nothing now.
        """
        mine = self._leases.look()
        self._judges = {a: judge for a, judge in self._judges.items() if a in self._leases.held}
        measured = False
        for attempt_id in self._dispatch.collect():
            self._turns.note_news([attempt_id])
            measured = True
        self._deadlines.keep(mine)
        for attempt_id in self._turns.of_round(mine, room=lambda: self._dispatch.has_room):
            if self._stopping.is_set():
                return
            try:
                self._advance_attempt(attempt_id)
            except LeaseLostError as error:
                log.info("%s", error)
                self._judges.pop(attempt_id, None)
        # After judging: an alert may want the full values of the snapshot before to stay.
        self._stale_blobs.delete_if_due(
            self._leases,
            measured=measured,
            of_nobody=self._presence.leads(),
            read_now=self._dispatch.read_now,
        )
        self._share(mine)

    def _share(self, mine: list[int]) -> None:
        """Gives back what is others' by rights, of that with which it costs them least."""
        busy = self._dispatch.busy_attempts
        spare = [attempt_id for attempt_id in mine if attempt_id not in busy]
        self._give_back(spare[: self._leases.too_many()])

    def _give_back(self, attempt_ids: Sequence[int]) -> None:
        for attempt_id in attempt_ids:
            with suppress(LeaseLostError):
                self._put_away(attempt_id)
        self._leases.give_back(attempt_ids)

    def _put_away(self, attempt_id: int) -> None:
        judge = self._judges.pop(attempt_id, None)
        if judge is not None:
            judge.put_away()

    def _advance_attempt(self, attempt_id: int) -> None:
        lease = self._leases.of(attempt_id)
        # What of an attempt waits is moved on by nobody else, and parts only ever come.
        with self._database.glance() as session:
            attempt = session.get(Attempt, attempt_id)
            if attempt is None:
                return
            with bound(run_id=attempt.run_id, attempt=attempt.slug):
                late, ready = self._in_order(session, attempt)
                self._hand_out(session, [*late, *ready], lease)
        with bound(run_id=attempt.run_id, attempt=attempt.slug):
            self._pass_over(lease, late)
            self._judge(lease, ready)

    def _in_order(
        self, session: Session, attempt: Attempt
    ) -> tuple[list[Snapshot], list[Snapshot]]:
        """What came behind the cursor, and what is next; the others wait."""
        waiting = waiting_snapshots(session, attempt.id, limit=ATTEMPT_WINDOW)
        overdue = self._deadlines.passed(attempt.id, waiting)
        absent = absent_sequences(session, attempt)
        ready = in_order(attempt.cursor, waiting, absent=absent, overdue=overdue)
        late = [
            snapshot
            for snapshot in waiting
            if snapshot.sequence <= attempt.cursor
            and (snapshot.received_parts >= snapshot.expected_parts or snapshot.sequence in overdue)
        ]
        return late, ready

    def _hand_out(self, session: Session, snapshots: list[Snapshot], lease: Lease) -> None:
        for snapshot in snapshots:
            if snapshot.state == RECEIVED:
                with bound(sequence=snapshot.sequence):
                    if self._dispatch.hand_out(session, snapshot, lease):
                        self._turns.note_served(lease.attempt_id)

    def _pass_over(self, lease: Lease, late: list[Snapshot]) -> None:
        for snapshot in late:
            if snapshot.state == MEASURED:
                pass_over(self._database, snapshot.id, lease)
                if (judge := self._judges.get(lease.attempt_id)) is not None:
                    judge.meet_late()
                self._observe("late", 0.0)

    def _judge(self, lease: Lease, ready: list[Snapshot]) -> None:
        """A snapshot that cannot be judged holds up its own attempt, and not for ever."""
        for snapshot in ready:
            if snapshot.state != MEASURED or self._stopping.is_set():
                return
            try:
                with bound(sequence=snapshot.sequence):
                    news = self._seated(lease).judge(snapshot)
                    log.debug("judged, %d alerts raised or changed", news)
            except (StorageError, LeaseLostError):
                self._judges.pop(lease.attempt_id, None)
                raise
            except Exception as error:
                with bound(sequence=snapshot.sequence):
                    log.exception("snapshot %s cannot be judged", snapshot.id)
                self._judges.pop(lease.attempt_id, None)
                self._troubles[snapshot.id] = self._troubles.get(snapshot.id, 0) + 1
                if self._troubles[snapshot.id] >= MOST_TRIES:
                    del self._troubles[snapshot.id]
                    self._dispatch.give_up(snapshot.id, f"{type(error).__name__}: {error}", lease)
                return
            self._troubles.pop(snapshot.id, None)
            self._observe("judged", max(0.0, time.time() - snapshot.received_at))

    def _seated(self, lease: Lease) -> AttemptJudge:
        judge = self._judges.get(lease.attempt_id)
        if judge is None:
            judge = AttemptJudge(self._database, lease, self._policy)
            self._judges[lease.attempt_id] = judge
        return judge
