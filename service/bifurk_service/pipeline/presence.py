"""That this process runs a pipeline, said again and again; and whether it does the chores."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from bifurk_service.errors import StorageError
from bifurk_service.store import leases as store
from bifurk_service.store.engine import Database

log = logging.getLogger("bifurk.service")

LEASE_SECONDS: Final = 15.0
"""How long a process may say nothing before what it holds is anybody's."""
SIGNS: Final = 5
"""Of life within that time: one or two that do not get through do no harm."""


class Presence:
    """A process among those that run a pipeline, under a number; safe to use from any thread.

    A process that says nothing for too long counts as gone, and comes back under another number.
    The one that came first of those that run leads: it does the chores and tells people. On SQLite
    the data folder's lock has made sure that there is one process: nobody asks for a sign of it.

    Args:
        database: where it is written down. capacity: snapshots this process measures at once.
        seconds: how long it may say nothing. monotonic: its own clock.
    """

    def __init__(
        self,
        database: Database,
        *,
        capacity: int,
        seconds: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._database = database
        self._seconds = None if database.of_one_process else seconds
        self._monotonic = monotonic
        self._number: int | None = None
        self._leads_until = -math.inf
        self._led = False
        self._signing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bifurk-presence", daemon=True)

    def start(self) -> None:
        """Says that this process runs, now and from now on."""
        self._sign_if_possible()
        if self._seconds is not None:
            self._thread.start()

    def stop(self) -> None:
        """Takes leave: what this process holds is free at once. Nothing may be written after it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._signing:
            self._leads_until = -math.inf
            number, self._number = self._number, None
        if number is None:
            return
        try:
            with self._database.write(in_line=False) as session:
                store.retire(session, number)
        except StorageError as error:
            log.warning("what this process holds is free once it has run out: %s", error.detail)

    def number(self) -> int:
        """The number it goes by now.

        Raises:
            StorageError: it has none yet, and the database gives none now.
        """
        number = self._number
        if number is None:
            self.give_sign()
            number = self._number
        assert number is not None, "a sign of life that got through has given one"
        return number

    def leads(self) -> bool:
        """Whether the chores are this process's, to be asked before each.

        By its own clock, counted from before its last sign of life: it knows that it does not lead
        any more before others think so, also where it was stopped and wakes up.
        """
        return self._monotonic() < self._leads_until

    def give_sign(self) -> None:
        """Says that this process runs; under a new number where the one before has run out.

        Raises:
            StorageError: the database takes nothing now.
        """
        with self._signing:
            asked = self._monotonic()
            if self._number is None or not self._renewed(self._number):
                self._number = self._registered()
            with self._database.read() as session:
                first = store.is_first(session, self._number)
            lasts = math.inf if self._seconds is None else self._seconds
            self._leads_until = asked + lasts if first else -math.inf
            if first != self._led:
                self._led = first
                log.info("%s %s the chores", self.name, "does" if first else "leaves to others")

    def _renewed(self, number: int) -> bool:
        if self._seconds is None:
            return True
        with self._database.write(in_line=False) as session:
            renewed = store.renew(session, number, seconds=self._seconds)
        if not renewed:
            log.warning("%s has said nothing for too long; what it held is anybody's", self.name)
        return renewed

    def _registered(self) -> int:
        self._leads_until = -math.inf
        with self._database.write() as session:
            return store.register(session, self.name, capacity=self.capacity, seconds=self._seconds)

    def _run(self) -> None:
        assert self._seconds is not None, "nobody asks a process that is alone"
        while not self._stopping.wait(self._seconds / SIGNS):
            self._sign_if_possible()

    def _sign_if_possible(self) -> None:
        try:
            self.give_sign()
        except StorageError as error:
            log.warning("no sign of life gets through: %s", error.detail)
        except Exception:
            log.exception("giving signs of life met an error and goes on")
