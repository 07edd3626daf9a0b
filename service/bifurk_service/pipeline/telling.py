"""One channel's thread: takes what waits for it from the outbox, sends it, notes what became of it.

A message is noted as delivered after it was sent, so a crash between the two sends it again: every
change is told at least once, and repeats carry the same fingerprint.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bifurk_service.domain import Severity
from bifurk_service.errors import StorageError
from bifurk_service.notify.channels import Channel
from bifurk_service.notify.messages import send, send_standing
from bifurk_service.notify.notice import Notice
from bifurk_service.notify.sending import LONGEST_WAIT_SECONDS, Outcome, Sender
from bifurk_service.pipeline.notices import notice_of
from bifurk_service.store.deliveries import (
    bring_forward,
    due,
    enqueue_if_graver,
    mark_delivered,
    mark_failed,
    standing_alerts,
)
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Delivery, StoredAlert

log = logging.getLogger("bifurk.service")

IDLE_SECONDS: Final = 1.0
"""How often the outbox is looked at when nobody says that something was put into it."""
FIRST_BACKOFF_SECONDS: Final = 5.0
LONGEST_BACKOFF_SECONDS: Final = 900.0
JITTER: Final = 0.2
"""Share by which waits differ, so that messages of one moment do not come back in one moment."""
GIVE_UP_SECONDS: Final = 86_400.0
"""After a day without a receiver a message is given up."""
BATCH: Final = 50
MOST_STANDING: Final = 1000
"""Unresolved alerts that an Alertmanager is told of again, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message that was tried and is to be noted.

    Attributes:
        severity: what it said of the alert; None: it could not be made.
    """

    delivery: Delivery
    outcome: Outcome
    severity: Severity | None


class Teller:
    """Tells one channel what waits for it.

    Args:
        database: the outbox. channel: who is told. sender: what posts.
        public_url: of this server, for links; "" where it has none.
        observe: told the channel and ``delivered``, ``retried`` or ``failed`` of every try.
        may_send: asked before every message. now: seconds since 1970 UTC.
        monotonic: the clock of waits. draw: uniform in [0, 1).
    """

    def __init__(  # noqa: PLR0913 - one argument a part that it is put together from
        self,
        database: Database,
        channel: Channel,
        sender: Sender,
        *,
        public_url: str,
        observe: Callable[[str, str], None],
        may_send: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.channel = channel
        self._database = database
        self._sender = sender
        self._public_url = public_url
        self._observe = observe
        self._may_send = may_send
        self._now = now
        self._monotonic = monotonic
        self._draw = draw
        self._unkept: list[Told] = []
        self._met: set[str] = set()
        self._held_until = 0.0
        self._next_repeat = 0.0
        self._down = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"bifurk-channel-{channel.name}", daemon=True
        )

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Says that something was put into the outbox."""
        self._wake.set()

    def ask_to_stop(self) -> None:
        """Says that nothing more is to be sent."""
        self._stopping.set()
        self._wake.set()

    def join(self, *, seconds: float) -> None:
        """Waits for the end; a message that takes longer is left, and sent again another time."""
        self._thread.join(seconds)

    def advance(self) -> None:
        """One round: notes what is not noted yet, sends what is due, repeats what stands.

        Raises:
            StorageError: the database takes nothing now.
        """
        self._keep()
        if self._is_held():
            return
        with self._database.read() as session:
            waiting = due(
                session,
                self.channel.name,
                now=self._now(),
                longest_wait_seconds=LONGEST_WAIT_SECONDS,
                limit=BATCH,
            )
        for delivery in waiting:
            if self._is_held():
                return
            self._tell(delivery)
        self._repeat()

    def _is_held(self) -> bool:
        """Asked before every message: a process that was stopped may be another's follower now."""
        waits = self._monotonic() < self._held_until
        return waits or self._stopping.is_set() or not self._may_send()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.advance()
            except StorageError as error:
                log.warning("channel %s waits for storage: %s", self.channel.name, error.detail)
            except Exception:
                log.exception("channel %s met an error and goes on", self.channel.name)
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()

    def _tell(self, delivery: Delivery) -> None:
        told = self._tried(delivery)
        if told is None:
            return
        if told.outcome.wait_seconds is not None:
            self._held_until = self._monotonic() + told.outcome.wait_seconds
        self._unkept.append(told)
        self._keep()

    def _tried(self, delivery: Delivery) -> Told | None:
        """Whatever is raised is a try that failed, so that no message holds up those behind it.

        None: its alert is no more.
        """
        now = self._now()
        severity = None
        try:
            notice = self._notice(delivery, now)
            if notice is None:
                return None
            severity = notice.severity
            outcome = send(self._sender, self.channel, notice, now=now, public_url=self._public_url)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - logged and noted; the next message must go out
            outcome = self._failure(error)
        return Told(delivery=delivery, outcome=outcome, severity=severity)

    def _notice(self, delivery: Delivery, now: float) -> Notice | None:
        with self._database.read() as session:
            alert = session.get(StoredAlert, delivery.alert_id)
            if alert is None:
                return None
            return notice_of(
                session, alert, reason=delivery.reason, now=now, public_url=self._public_url
            )

    def _failure(self, error: Exception) -> Outcome:
        """Logs where it was raised, once, and not its text, which may hold a secret URL."""
        kind = type(error).__name__
        place = "".join(traceback.format_tb(error.__traceback__))
        if place not in self._met:
            self._met.add(place)
            log.error("channel %s met %s and goes on\n%s", self.channel.name, kind, place)
        return Outcome(status_code=None, error=kind, again=True)

    def _keep(self) -> None:
        """What the database did not take is kept in mind: it must not be sent again every round."""
        while self._unkept:
            self._note(self._unkept[0])
            self._unkept.pop(0)

    def _note(self, told: Told) -> None:
        delivery, outcome = told.delivery, told.outcome
        now = self._now()
        next_try_at = None if outcome.delivered else self._next_try_at(told, now)
        with self._database.write() as session:
            if session.get(Delivery, delivery.id) is None:
                return
            if outcome.error is None and outcome.status_code is not None:
                mark_delivered(session, delivery.id, status_code=outcome.status_code, now=now)
                if told.severity is not None:
                    enqueue_if_graver(session, delivery, told=told.severity, now=now)
                if self._down:
                    bring_forward(session, self.channel.name, now=now)
            else:
                mark_failed(
                    session,
                    delivery.id,
                    error=outcome.error or "",
                    status_code=outcome.status_code,
                    next_try_at=next_try_at,
                )
        if outcome.delivered:
            self._observe(self.channel.name, "delivered")
        else:
            self._observe(self.channel.name, "failed" if next_try_at is None else "retried")
        self._log(outcome)

    def _next_try_at(self, told: Told, now: float) -> float | None:
        """None: it is given up."""
        if not told.outcome.again or now - told.delivery.created_at > GIVE_UP_SECONDS:
            return None
        doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(told.delivery.tries, 20)
        wait = min(doubled, LONGEST_BACKOFF_SECONDS) * (1 + JITTER * (2 * self._draw() - 1))
        return now + min(max(wait, told.outcome.wait_seconds or 0.0), LONGEST_WAIT_SECONDS)

    def _repeat(self) -> None:
        """Alertmanager forgets what is not told again; what it missed it hears the next time."""
        every = self.channel.repeat_seconds
        if every is None or self._monotonic() < self._next_repeat or self._is_held():
            return
        self._next_repeat = self._monotonic() + every
        now = self._now()
        with self._database.read() as session:
            notices = [
                notice_of(session, alert, reason="raised", now=now, public_url=self._public_url)
                for alert in standing_alerts(session, self.channel.name, limit=MOST_STANDING)
            ]
        if notices:
            self._log(send_standing(self._sender, self.channel, notices, now=now))

    def _log(self, outcome: Outcome) -> None:
        """A line when the channel stops or begins to answer, not one a message."""
        if outcome.delivered and self._down:
            log.info("channel %s answers again", self.channel.name)
        elif not outcome.delivered and not self._down:
            log.warning("channel %s: %s", self.channel.name, outcome.error)
        self._down = not outcome.delivered
