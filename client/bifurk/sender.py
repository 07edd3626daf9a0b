"""The one background thread that empties the outbox into the transport.

It keeps the order, retries the same bytes until the server has them or refuses them for
good, and never raises into anybody's code.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Final

from bifurk.breakage import Breakage
from bifurk.clock import SYSTEM_CLOCK, Clock
from bifurk.heartbeats import Heartbeats
from bifurk.losses import LossLedger
from bifurk.outbox import Entry, Outbox
from bifurk.retry import (
    SHUT_SECONDS,
    Backoff,
    Verdict,
    outcome,
    problem_text,
    retry_after_seconds,
    verdict,
)
from bifurk.said_once import SaidOnce
from bifurk.transport import Request, Response, Transport, TransportError

THREAD_NAME: Final = "bifurk-send"

REQUEST_SECONDS: Final = 60.0
"""For one exchange: a part with 16 MiB of full values takes 45 s at 3 Mbit/s."""

HEARTBEAT_SECONDS: Final = 60.0
UNREADABLE_PAUSE_SECONDS: Final = 1.0
"""When the outbox holds something that cannot be read just now (no free descriptors)."""

logger = logging.getLogger("bifurk")


class Sender:
    """Delivers what an outbox holds, oldest first, and a heartbeat now and then.

    Args:
        spool: what to empty; the caller closes it after the sender.
        transport: how to send; the caller closes it likewise.
        ledger: told of what the server refuses: ``conflict``, ``rejected_<status>``.
        heartbeat: makes the heartbeat's request; it is sent once, never retried or spooled.
        heartbeat_seconds: between two of them.
        on_reply: given every 2xx answer and the request it is one to; it runs on the sender's
            thread.
        on_refused: given the status of every snapshot of this process's attempt that the server
            refuses for good; likewise.
        clock, backoff: seams for tests.
    """

    def __init__(  # noqa: PLR0913 - clock and backoff are for tests alone
        self,
        spool: Outbox,
        transport: Transport,
        ledger: LossLedger,
        *,
        heartbeat: Callable[[], Request] | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        on_reply: Callable[[Request, Response], None] | None = None,
        on_refused: Callable[[int], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        backoff: Backoff | None = None,
    ) -> None:
        self._spool = spool
        self._transport = transport
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._on_reply = on_reply
        self._on_refused = on_refused
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._not_before = -math.inf
        self._beats = Heartbeats(math.inf if heartbeat is None else heartbeat_seconds, clock.now())
        self._closing_at = math.inf
        self._finished = False
        self._last_words: Request | None = None
        self._away = False
        self._breakage = Breakage()
        self._said = SaidOnce()

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    @property
    def at_work(self) -> bool:
        """Whether the caller runs on the sender's thread."""
        return threading.current_thread() is self._thread

    def listen(self) -> None:
        """Says that somebody waits for what the server finds: heartbeats then ask for it."""
        self._beats.listening = True

    def wake(self) -> None:
        """Says that the outbox has something new."""
        with self._condition:
            self._condition.notify_all()

    def say_last(self, request: Request) -> None:
        """Keeps a request in memory, in place of an earlier one, and sends it once at the close.

        For a state of the attempt that the outbox could not take: a full disk must not make a
        run that has ended well look as if it had died.
        """
        self._last_words = request

    def flush(self, deadline_seconds: float) -> bool:
        """Tries at once, whatever the backoff says, and waits until the outbox is empty.

        Returns:
            Whether it is, within ``deadline_seconds``.
        """
        end = self._clock.now() + deadline_seconds
        with self._condition:
            self._hurry()
            while self._spool.pending():
                remaining = end - self._clock.now()
                if remaining <= 0 or self._finished or not self._thread.is_alive():
                    return False
                self._clock.wait(self._condition, remaining)
        return True

    def close(self, deadline_seconds: float) -> bool:
        """Sends what it can within ``deadline_seconds`` and ends the thread; idempotent.

        Returns:
            Whether the outbox is empty. What is left stays there.
        """
        end = self._clock.now() + deadline_seconds
        with self._condition:
            self._closing_at = min(self._closing_at, end)
            self._hurry()
            while self._thread.is_alive() and not self._finished:
                remaining = end - self._clock.now()
                if remaining <= 0:
                    break
                self._clock.wait(self._condition, remaining)
        return not self._spool.pending()

    def _hurry(self) -> None:
        self._not_before = -math.inf
        self._backoff.reset()
        self._condition.notify_all()

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                self._beat()
                self._deliver()
            except Exception:  # noqa: BLE001 - a foreign callback must not end the thread
                self._said.log("unexpected", logging.ERROR, "the sender failed", trace=True)
                self._pause(self._backoff.next_seconds)
            self.wake()
        self._say_last_words()
        with self._condition:
            self._finished = True
            self._condition.notify_all()

    def _wait_for_work(self) -> bool:
        """Waits until something is due; False when it is time to end."""
        with self._condition:
            while True:
                now = self._clock.now()
                pending = self._spool.pending()
                if now >= self._closing_at or (self._closing_at < math.inf and not pending):
                    return False
                due = min(self._beats.due, self._not_before if pending else math.inf)
                if due <= now:
                    return True
                self._clock.wait(self._condition, min(due, self._closing_at) - now)

    def _beat(self) -> None:
        now = self._clock.now()
        if self._heartbeat is None or now < self._beats.due:
            return
        self._beats.beaten(now)
        if self._closing_at < math.inf:
            return
        try:
            self._say(self._heartbeat())
        except TransportError as error:
            logger.debug("a heartbeat did not get through: %s", error)
        except Exception:  # noqa: BLE001 - its supplier is foreign, and the parts must go on
            self._said.log("heartbeat", logging.ERROR, "no heartbeat could be made", trace=True)

    def _say_last_words(self) -> None:
        try:
            if self._last_words is not None:
                self._say(self._last_words)
        except Exception as error:  # noqa: BLE001 - as for a heartbeat
            logger.warning("the end of the attempt could not be told: %s", error)

    def _say(self, request: Request) -> None:
        response = self._exchange(request)
        self._tell(request, response)
        self._said.final(response)

    def _deliver(self) -> None:
        if not self._spool.pending() or self._clock.now() < self._not_before:
            return
        entry = self._spool.oldest()
        if entry is None:
            if self._spool.pending():
                self._pause(lambda: UNREADABLE_PAUSE_SECONDS)
            return
        try:
            response = self._exchange(entry.request)
        except TransportError as error:
            self._postpone(entry, str(error))
        except BaseException:
            self._spool.release(entry)
            raise
        else:
            self._settle(entry, response)

    def _exchange(self, request: Request) -> Response:
        seconds = min(REQUEST_SECONDS, self._closing_at - self._clock.now())
        return self._transport.send(request, deadline_seconds=seconds)

    def _tell(self, request: Request, response: Response) -> None:
        if self._on_reply is None or verdict(response.status) is not Verdict.DELIVERED:
            return
        try:
            self._on_reply(request, response)
        except Exception:  # noqa: BLE001 - the request is delivered whatever its reader makes of it
            self._said.log("reply", logging.ERROR, "an answer could not be read", trace=True)

    def _settle(self, entry: Entry, response: Response) -> None:
        answer = outcome(response)
        if answer is Verdict.SHUT:
            self._wait_outside(entry, response)
        elif answer is Verdict.RETRY:
            self._try_again(entry, response)
        else:
            if answer is not Verdict.DELIVERED:
                self._give_up(entry, response)
            elif entry.slot.sequence is not None:
                self._beats.delivered(self._clock.now())
            self._answered(entry.request, response)
            # Last: who has waited until nothing is left finds what the answer said.
            self._spool.discard(entry)

    def _answered(self, request: Request, response: Response) -> None:
        self._backoff.reset()
        if self._away:
            logger.info("the server answers again")
        self._away = False
        self._tell(request, response)

    def _wait_outside(self, entry: Entry, response: Response) -> None:
        """The way is shut, not the request wrong: what waits is kept for whoever mends the way."""
        self._said.refusal(response)
        self._away = True
        wished = max(SHUT_SECONDS, retry_after_seconds(response))
        self._postpone(entry, problem_text(response), at_least=wished)

    def _try_again(self, entry: Entry, response: Response) -> None:
        if self._breakage.lasts(entry.slot, response):
            self._give_up(entry, response)
            self._spool.discard(entry)
            # It was no sign that the server is well: the pauses stay long for the next one.
            self._pause(self._backoff.next_seconds)
            return
        reason = f"status {response.status}: {problem_text(response)}"
        self._postpone(entry, reason, at_least=retry_after_seconds(response))

    def _give_up(self, entry: Entry, response: Response) -> None:
        conflict = verdict(response.status) is Verdict.CONFLICT
        reason = "conflict" if conflict else f"rejected_{response.status}"
        self._ledger.drop(reason, entry.slot.sequence)
        self._said.refusal(response)
        if self._on_refused is None or entry.slot.sequence is None:
            return
        try:
            self._on_refused(response.status)
        except Exception:  # noqa: BLE001 - as for the reader of answers
            self._said.log("refused", logging.ERROR, "a refusal could not be told", trace=True)

    def _postpone(self, entry: Entry, reason: str, *, at_least: float = 0.0) -> None:
        self._spool.release(entry)
        self._pause(lambda: self._backoff.next_seconds(at_least=at_least))
        if not self._away:
            logger.warning("snapshots wait for the server, training goes on: %s", reason)
        self._away = True

    def _pause(self, length: Callable[[], float]) -> None:
        # Chosen under the lock as well: who hurries meanwhile is not slept over.
        with self._condition:
            self._not_before = self._clock.now() + length()
