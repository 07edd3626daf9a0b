"""Tells people: a thread a channel, and one that follows the alerts file."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from bifurk_service.errors import NotFoundError, StorageError
from bifurk_service.notify.channels import Channel
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.notify.messages import send
from bifurk_service.notify.notice import trial_notice
from bifurk_service.notify.sending import Outcome, Sender
from bifurk_service.pipeline.telling import Teller
from bifurk_service.store.deliveries import bring_forward, give_up_absent
from bifurk_service.store.engine import Database

log = logging.getLogger("bifurk.service")

FOLLOW_SECONDS: Final = 2.0
"""How often the alerts file is looked at."""
STOP_SECONDS: Final = 3.0
"""How long messages under way may still take when the server stops."""


class Notifier:
    """Owns the channels' threads; one that hangs holds up no other.

    Args:
        database: the outbox. policy: which channels there are. sender: what posts.
        public_url: of this server, for links; "" where it has none.
        observe: told the channel and ``delivered``, ``retried`` or ``failed`` of every try.
        leads: whether it is this process that tells, of those that could.
    """

    def __init__(
        self,
        database: Database,
        policy: FollowedPolicy,
        sender: Sender,
        *,
        public_url: str,
        observe: Callable[[str, str], None],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._database = database
        self._policy = policy
        self._sender = sender
        self._public_url = public_url.rstrip("/")
        self._observe = observe
        self._leads = leads
        self._tellers: list[Teller] = []
        self._seated = False
        self._telling = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="bifurk-notifier", daemon=True)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those in force, in the order of the file."""
        return self._policy.current.channels

    def start(self, *, telling: bool = True) -> None:
        """Starts the threads; without telling only the file is followed: another process tells."""
        self._telling = telling
        self._reseat()
        self._thread.start()

    def wake(self) -> None:
        """Says that something was put into the outbox."""
        for teller in self._tellers:
            teller.wake()

    def stop(self) -> None:
        """Ends the threads; what could not be sent waits for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._unseat()

    def test(self, name: str) -> Outcome:
        """Sends a test message through a channel now.

        Raises:
            NotFoundError: there is no channel of this name.
        """
        channel = self._policy.current.channel(name)
        if channel is None:
            raise NotFoundError(f"no channel {name!r}; `GET /api/v1/channels` lists them")
        now = time.time()
        url = f"{self._public_url}/api/v1/channels" if self._public_url else ""
        return send(
            self._sender,
            channel,
            trial_notice(now=now, url=url),
            now=now,
            public_url=self._public_url,
        )

    def _follow(self) -> None:
        while not self._stopping.wait(FOLLOW_SECONDS):
            try:
                if self._policy.refresh() or self._seated != self._tells():
                    self._reseat()
            except Exception:
                log.exception("the notifier met an error and goes on")

    def _tells(self) -> bool:
        return self._telling and self._leads()

    def _reseat(self) -> None:
        self._unseat()
        self._seated = False
        if self._tells():
            self._seat()
            self._seated = True

    def _seat(self) -> None:
        self._look_through()
        for channel in self.channels:
            teller = Teller(
                self._database,
                channel,
                self._sender,
                public_url=self._public_url,
                observe=self._observe,
                may_send=self._tells,
            )
            teller.start()
            self._tellers.append(teller)

    def _unseat(self) -> None:
        for teller in self._tellers:
            teller.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for teller in self._tellers:
            teller.join(seconds=max(0.0, deadline - time.monotonic()))
        self._tellers = []

    def _look_through(self) -> None:
        """A start or another file may be what a channel needed: what waits is tried at once."""
        names = [channel.name for channel in self.channels]
        try:
            with self._database.write() as session:
                count = give_up_absent(session, names)
                for name in names:
                    bring_forward(session, name, now=time.time())
        except StorageError as error:
            log.warning("the outbox cannot be looked through: %s", error.detail)
            return
        if count:
            log.warning("%d messages wait for channels that are no more; given up", count)
