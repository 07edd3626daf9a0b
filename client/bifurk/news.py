"""News for the user's own code: alerts to callables, alerts and scalars to other tools."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from bifurk.alerts import AlertBook
from bifurk.forwarding.forwards import Forwards
from bifurk.listeners import Listener, Listeners
from bifurk.wire import ScalarSummary


class News:
    """Hears what the server answers and what the encoder has read, and passes it on.

    No method waits for whoever is told, but ``flush`` and ``close``.

    Args:
        url: the server's address; None where it is not known.
    """

    def __init__(self, url: str | None) -> None:
        # An alert is either known to who comes late, or told to him as news: never both.
        self._lock = threading.RLock()
        self._listeners = Listeners()
        self.forwards = Forwards()
        self.book = AlertBook(url)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Reads an answer to this attempt; on the sender's thread."""
        with self._lock:
            news = self.book.read(answer)
            self._listeners.tell(news)
            self.forwards.alerts(news)

    def listen(self, listener: Listener) -> None:
        """Registers a callable; see ``Listeners.add``."""
        with self._lock:
            self._listeners.add(listener, self.book.known)

    def forward(self, target: object) -> None:
        """Forwards to a target from now on; see ``Forwards.add``."""
        with self._lock:
            self.forwards.add(target, self.book.known)

    def scalars(self, step: int, summaries: Mapping[str, ScalarSummary]) -> None:
        """Passes on what was logged up to a snapshot; on the encoder's thread."""
        self.forwards.scalars(step, summaries)

    def flush(self, deadline_seconds: float) -> bool:
        """Whether all that there is has been forwarded within ``deadline_seconds``."""
        return self.forwards.flush(deadline_seconds)

    @property
    def at_work(self) -> bool:
        """Whether the caller is one of those who are told."""
        return self._listeners.at_work or self.forwards.at_work

    def close(self, deadline_seconds: float) -> None:
        """Waits until all were told, for at most ``deadline_seconds``; then nobody is any more.

        A place that hangs leaves the user's callables half of the time.
        """
        end = time.monotonic() + deadline_seconds
        self.forwards.close(deadline_seconds / 2)
        self._listeners.close(max(0.0, end - time.monotonic()))
