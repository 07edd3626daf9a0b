"""The user's own callables that hear of alerts, called on a thread of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from bifurk.alerts import Alert
from bifurk.courier import Courier

Listener: TypeAlias = Callable[[Alert], Any]

THREAD_NAME: Final = "bifurk-alerts"

_log = logging.getLogger("bifurk")


class Listeners:
    """Calls every callable once with every news of an alert, in order."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._failed: set[int] = set()
        self._courier = Courier(THREAD_NAME, what="callables given to on_alert")

    def add(self, listener: Listener, known: Iterable[Alert]) -> None:
        """Registers a callable, which is told what is known first; the same again is no other.

        Raises:
            TypeError: it cannot be called.
        """
        if not callable(listener):
            raise TypeError(
                f"on_alert() takes a callable with one argument, the alert; got {listener!r:.80}"
            )
        if listener in self._listeners:
            return
        self._courier.start()
        self._listeners.append(listener)
        for alert in known:
            self._put(listener, alert)

    def tell(self, news: Iterable[Alert]) -> None:
        """Tells everybody; returns at once."""
        for alert in news:
            for listener in self._listeners:
                self._put(listener, alert)

    def close(self, deadline_seconds: float) -> bool:
        """Whether all were told within ``deadline_seconds``; nobody is called after that."""
        told = self._courier.close(deadline_seconds)
        self._listeners = []
        return told

    def _put(self, listener: Listener, alert: Alert) -> None:
        self._courier.put(lambda: self._call(listener, alert))

    def _call(self, listener: Listener, alert: Alert) -> None:
        try:
            listener(alert)
        except BaseException as error:  # noqa: BLE001 - it is the user's, on a thread of ours
            if id(listener) not in self._failed:
                self._failed.add(id(listener))
                _log.error(
                    "%r, given to on_alert, failed; it is called again at the next alert, and"
                    " further failures are not logged",
                    listener,
                    exc_info=error,
                )
