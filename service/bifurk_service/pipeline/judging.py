"""Statistics to alerts: an attempt's detectors, fed strictly by sequence.

The cursor, the alerts and the snapshot's state are committed together for every snapshot. The
detectors' memory is committed only now and then: on restart the stored statistics behind the
cursor are replayed into the last memory, which gives the same memory again. What is committed of a
memory that large is in ``memories``.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from bifurk_service.detect.judge import Judge, Verdict
from bifurk_service.detect.recovery import RETURNED_SNAPSHOTS
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.domain import Severity
from bifurk_service.notify.rules import Ruler
from bifurk_service.pipeline.judges import judge_of, judging_input
from bifurk_service.pipeline.memories import MemoryKeeper, take_up
from bifurk_service.pipeline.reporting import report_alert
from bifurk_service.stats.layers.profile import ProfileTensor, ProfileValue, profile_statistics
from bifurk_service.store.alerts import resolve_returned
from bifurk_service.store.directives import ask_for_more
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.imports import IMPORT, imported_statistics
from bifurk_service.store.leases import Lease, check_held
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.profiles import first_measured_step, keep_profile, profile_tensors
from bifurk_service.store.runs import run_of
from bifurk_service.store.snapshots import (
    JUDGED,
    LATE,
    MEASURED,
    finish_snapshot,
    judged_snapshots,
    with_attempt,
)
from bifurk_service.store.states import SavedState, load_state
from bifurk_service.store.superseding import supersede_earlier

log = logging.getLogger("bifurk.service")

SNAPSHOTS_BETWEEN_STATES: Final = 25
"""A memory of 1,000 tensors is some eight megabytes; replaying so many snapshots takes seconds."""
RETURNED: Final = f"the series has been back for {RETURNED_SNAPSHOTS} snapshots"


class SupersededError(RuntimeError):
    """Someone else has judged this snapshot, or one behind it: this memory is not to be used."""


class AttemptJudge:
    """The detectors of one attempt, in memory and in the database.

    Args:
        database: to read and write. lease: what makes the attempt this process's.
        policy: the rules on alerts.
    """

    def __init__(self, database: Database, lease: Lease, policy: Ruler) -> None:
        self._database = database
        self._policy = policy
        self._lease = lease
        self._attempt_id = lease.attempt_id
        self._keeper = MemoryKeeper(database, lease)
        self._unsaved = 0
        self._saved = -1
        self._first: list[ProfileTensor] | None = None
        self._first_of: set[str] = set()
        with database.read() as session:
            attempt = session.get_one(Attempt, lease.attempt_id)
            self._imported = attempt.source == IMPORT
            self._judge = self._restored(session, attempt)

    def judge(self, measured: Snapshot) -> int:
        """Judges one measured snapshot; returns how many alerts it raised or changed.

        Whatever is raised here leaves the memory ahead of the database: drop this object then.

        Raises:
            SupersededError: it is judged already, or the cursor is past it.
            LeaseLostError: the attempt is another process's.
        """
        verdict, profile = self._verdict(measured)
        sequence = measured.sequence
        self._unsaved += 1
        is_due = self._unsaved >= SNAPSHOTS_BETWEEN_STATES
        if is_due:
            self._keeper.write_ahead(self._judge, sequence)
        with self._database.write() as session:
            check_held(session, self._lease)
            found = with_attempt(session, measured.id)
            if found is None:
                raise SupersededError(f"snapshot {measured.id} is no more")
            snapshot, attempt = found
            if snapshot.state != MEASURED or sequence <= attempt.cursor:
                raise SupersededError(
                    f"snapshot {snapshot.id} is {snapshot.state}, the cursor at {attempt.cursor}"
                )
            now = time.time()
            # Heads before their parts, which are quiet because the head is told.
            for alert in sorted(verdict.alerts, key=lambda one: one.parent != ""):
                news = report_alert(session, attempt, alert, self._policy, now=now)
                if news is not None and alert.severity is not Severity.INFO:
                    ask_for_more(session, news, snapshot, now=now)
            resolve_returned(session, attempt, verdict.returned, note=RETURNED, now=now)
            supersede_earlier(session, attempt, now=now)
            keep_profile(session, snapshot, profile)
            finish_snapshot(session, snapshot, JUDGED, now=now)
            attempt.cursor = sequence
            if is_due:
                self._keeper.save(session)
        if is_due:
            self._is_saved(sequence)
        return len(verdict.alerts)

    def meet_late(self) -> None:
        """Says that a snapshot came late: what the attempt began with may be another now."""
        self._first = None

    def put_away(self) -> None:
        """Saves the memory, so that taking it up again replays nothing.

        Raises:
            LeaseLostError: the attempt is another process's.
        """
        with self._database.read() as session:
            attempt = session.get(Attempt, self._attempt_id)
        # What is as of the same sequence is of other detectors: these have seen nothing yet.
        if self._unsaved == 0 or attempt is None or attempt.cursor <= self._saved:
            return
        self._keeper.write_ahead(self._judge, attempt.cursor)
        with self._database.write() as session:
            check_held(session, self._lease)
            self._keeper.save(session)
        self._is_saved(attempt.cursor)

    def _verdict(self, snapshot: Snapshot) -> tuple[Verdict, list[ProfileValue]]:
        """Outside the write transaction: while the detectors think, parts are still taken in."""
        with self._database.read() as session:
            if self._imported:
                self._follow_imports(session)
            verdict = (
                Verdict() if snapshot.off_grid else self._given(session, snapshot, self._judge)
            )
            return verdict, self._profile(session, snapshot)

    def _profile(self, session: Session, snapshot: Snapshot) -> list[ProfileValue]:
        """Statistics across layers; here, because in sequence every spectrum before is known."""
        now = profile_tensors(session, snapshot.attempt_id, snapshot.step)
        new = _with_spectra(now) - self._first_of
        if new or self._first is None:
            self._first_of |= new
            step = first_measured_step(session, snapshot.attempt_id)
            self._first = (
                []
                if step is None
                else profile_tensors(session, snapshot.attempt_id, step, forward=True)
            )
        return profile_statistics(now, first=self._first)

    def _follow_imports(self, session: Session) -> None:
        """A later import may bring statistics that no detector watches yet."""
        attempt = session.get_one(Attempt, self._attempt_id)
        own = imported_statistics(session, attempt.run_id)
        if not set(own) <= set(self._judge.statistics):
            self._judge = self._restored(session, attempt)

    def _restored(self, session: Session, attempt: Attempt) -> Judge:
        """A judge with its memory; after an upgrade that changed a definition it starts afresh.

        What has never been saved, or not under this definition, is saved with the next snapshot:
        a restart before then must find the same. Imports are judged again from the first step: it
        is no upgrade that changed their definition, but a statistic that was added.
        """
        judge = judge_of(session, run_of(session, attempt))
        saved = load_state(session, attempt.id)
        if saved is not None:
            self._saved = saved.sequence
        foreign = saved is not None and not _takes_up(session, judge, attempt.id, saved)
        if saved is None or foreign:
            self._unsaved = SNAPSHOTS_BETWEEN_STATES
        if foreign:
            judge = judge_of(session, run_of(session, attempt))
        if foreign and not self._imported:
            return judge
        after = -1 if saved is None or foreign else saved.sequence
        for snapshot in judged_snapshots(session, attempt.id, after=after):
            self._given(session, snapshot, judge)
            self._unsaved += 1
        return judge

    def _is_saved(self, sequence: int) -> None:
        self._unsaved, self._saved = 0, sequence
        self._keeper.tidy()

    def _given(self, session: Session, snapshot: Snapshot, judge: Judge) -> Verdict:
        one = judging_input(session, snapshot, known=judge.tensor_ids, imported=self._imported)
        return one.given_to(judge)


def _takes_up(session: Session, judge: Judge, attempt_id: int, saved: SavedState) -> bool:
    """Whether the judge has taken up a memory; one of another definition, or damaged, is none."""
    try:
        take_up(session, judge, attempt_id, saved)
    except ForeignStateError as error:
        log.warning("detectors begin afresh: %s", error)
        return False
    return True


def _with_spectra(tensors: list[ProfileTensor]) -> set[str]:
    return {tensor.name for tensor in tensors if tensor.singular_values is not None}


def pass_over(database: Database, snapshot_id: int, lease: Lease) -> None:
    """Ends a measured snapshot that came behind the cursor: stored and shown, not judged.

    Raises:
        LeaseLostError: the attempt is another process's.
    """
    with database.write() as session:
        check_held(session, lease)
        snapshot, now = session.get_one(Snapshot, snapshot_id), time.time()
        supersede_earlier(session, session.get_one(Attempt, snapshot.attempt_id), now=now)
        finish_snapshot(session, snapshot, LATE, now=now)
