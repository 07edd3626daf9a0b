"""What is due now and then: attempts gone silent, runs past retention, old events, baselines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from bifurk_service.detect.silent import is_silent, silent_alert
from bifurk_service.domain import AttemptState
from bifurk_service.notify.baselines import Baseline
from bifurk_service.notify.rules import Policy, Ruler
from bifurk_service.pipeline.baselines import BaselineKeeper
from bifurk_service.pipeline.duties import do_each
from bifurk_service.pipeline.listening import Listening
from bifurk_service.pipeline.removing import remove_due
from bifurk_service.pipeline.reporting import report_alert
from bifurk_service.store.audit import THE_SERVICE, Action, record_act, trim_acts
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.events import trim_events
from bifurk_service.store.listening import anybody_listens
from bifurk_service.store.models import Attempt
from bifurk_service.store.removal import hide_run
from bifurk_service.store.run_lists import list_runs
from bifurk_service.store.runs import (
    expired_runs,
    run_of,
    running_attempts,
    set_attempt_state,
)

log = logging.getLogger("bifurk.service")

DAY_SECONDS: Final = 86_400
EVENT_SECONDS: Final = 7 * DAY_SECONDS
"""How long the stream can be taken up again after a break."""
GAPS_OF_A_SILENCE: Final = 2.0
"""A gap of half a silence leaves a training that lives the other half to give signs of life in."""


class Housekeeper:
    """Does what is due; safe to call at any time, from one thread.

    Args:
        database: where it is noted. blobs: those of expired runs are deleted.
        started_at: when this process began to listen (seconds since 1970 UTC); what clients
            would have said before that, nobody could hear, and it counts as no silence.
        silent_minimum_seconds: shortest silence of an attempt that is lost.
        retention_days: of runs without a retention of their own; None keeps them.
        audit_days: how long the audit log goes back.
        policy: who is told of a silent attempt, and of a run that leaves its baseline.
        baselines: those in force.
        leads: whether these duties are this process's, asked again in the midst of a long one.
        monotonic: the clock of how long a duty has taken so far.
    """

    def __init__(  # noqa: PLR0913 - one argument a part that it is put together from
        self,
        database: Database,
        blobs: BlobStore,
        *,
        started_at: float,
        silent_minimum_seconds: float,
        retention_days: float | None,
        audit_days: float = 365.0,
        policy: Ruler = Policy(),  # noqa: B008 - frozen, and empty
        baselines: Callable[[], Sequence[Baseline]] = tuple,
        leads: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._baselines = BaselineKeeper(
            database, baselines=baselines, policy=policy, may_tell=leads
        )
        self._blobs = blobs
        self._listening = Listening(
            started_at, longest_gap_seconds=silent_minimum_seconds / GAPS_OF_A_SILENCE
        )
        self._silent_minimum_seconds = silent_minimum_seconds
        self._retention_days = retention_days
        self._audit_seconds = audit_days * DAY_SECONDS
        self._policy = policy
        self._monotonic = monotonic

    def run(self, now: float) -> None:
        """Everything that is due at this time (seconds since 1970 UTC), each whatever fails.

        Raises:
            Exception: what the only duty that failed has raised; of several a group of theirs.
        """
        do_each(
            lambda: self._mark_lost(now),
            lambda: self._delete_expired(now),
            lambda: remove_due(self._database, self._blobs, now=now),
            lambda: self._trim(now),
            lambda: self._baselines.run(now),
        )

    def go_on(self, now: float) -> bool:
        """Goes on a little with what ``run`` has left; whether more is left.

        Raises:
            StorageError: the database takes nothing now.
        """
        return self._baselines.go_on(now)

    def _trim(self, now: float) -> None:
        with self._database.write() as session:
            trim_events(session, before=now - EVENT_SECONDS)
            trim_acts(session, before=now - self._audit_seconds)

    def _mark_lost(self, now: float) -> None:
        began = self._monotonic()
        with self._database.read() as session:
            if not anybody_listens(session):
                self._listening.miss(now)
                return
            running = running_attempts(session)
            # Only now: while the database is away nobody hears anything.
            self._listening.look(now)
            silent = [a.id for a in running if self._is_silent(a, now)]
        for attempt_id in silent:
            with self._database.write() as session:
                attempt = session.get(Attempt, attempt_id, with_for_update=True)
                # It may have waited long for its turn, or been stopped.
                later = now + self._monotonic() - began
                self._listening.look(later)
                if attempt is not None and self._is_lost(attempt, later):
                    self._mark(session, attempt, later)

    def _is_lost(self, attempt: Attempt, now: float) -> bool:
        """Asked again where it is written: it may have been heard of, or ended, meanwhile."""
        return attempt.state == AttemptState.RUNNING.value and self._is_silent(attempt, now)

    def _mark(self, session: Session, attempt: Attempt, now: float) -> None:
        set_attempt_state(session, attempt, AttemptState.LOST, now=now)
        alert = silent_alert(
            run_of(session, attempt).slug,
            last_step=attempt.last_step or 0,
            last_sequence=attempt.last_sequence or 0,
            seconds_since_last=self._silence_seconds(attempt, now),
            usual_interval_seconds=attempt.interval_seconds,
        )
        report_alert(session, attempt, alert, self._policy, now=now)
        log.warning("attempt %s of run %s is lost", attempt.slug, attempt.run_id)

    def _is_silent(self, attempt: Attempt, now: float) -> bool:
        return is_silent(
            seconds_since_last=self._silence_seconds(attempt, now),
            usual_interval_seconds=attempt.interval_seconds,
            least_seconds=self._silent_minimum_seconds,
        )

    def _silence_seconds(self, attempt: Attempt, now: float) -> float:
        return self._listening.silence_seconds(attempt.seen_at, now)

    def _delete_expired(self, now: float) -> None:
        with self._database.read() as session:
            expired = expired_runs(session, default_days=self._retention_days, now=now)
        for run_id in expired:
            with self._database.write() as session:
                self._delete_if_expired(session, run_id, now)

    def _delete_if_expired(self, session: Session, run_id: int, now: float) -> None:
        """Asked again where it is written: something of it may have come meanwhile."""
        days = self._retention_days
        if expired_runs(session, default_days=days, now=now, run_id=run_id):
            self._delete(session, run_id, now)
            log.info("run %s is past its retention and deleted", run_id)

    def _delete(self, session: Session, run_id: int, now: float) -> None:
        found = list_runs(session, run_ids=[run_id])
        for run in found:
            target = f"{run.project}/{run.run}"
            why = "past its retention"
            record_act(session, THE_SERVICE, Action.RUN_DELETED, target=target, detail=why, now=now)
        hide_run(session, run_id)
