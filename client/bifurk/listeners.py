"""The user's own callables that hear of alerts, called on a thread of their own."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from types import BuiltinMethodType, MethodType
from typing import Any, Final, TypeAlias

from bifurk.alerts import Alert
from bifurk.courier import Courier

Listener: TypeAlias = Callable[[Alert], Any]

THREAD_NAME: Final = "bifurk-alerts"

BOUND: Final = (MethodType, BuiltinMethodType)
"""Callables that are another object each time they are read from their own."""

SUSPENDED: Final = (
    "on_alert() calls on a thread without an event loop, where an async function or a generator"
    " never runs: give it a plain function, which may hand the alert to a loop with"
    " asyncio.run_coroutine_threadsafe"
)

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
            TypeError: it cannot be called, or a call would run nothing.
        """
        if not callable(listener):
            raise TypeError(
                f"on_alert() takes a callable with one argument, the alert; got {_shown(listener)}"
            )
        if _is_suspended(listener):
            raise TypeError(f"{_shown(listener)}: {SUSPENDED}")
        if any(_are_one(listener, other) for other in self._listeners):
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

    @property
    def at_work(self) -> bool:
        """Whether the caller is one of those who are told."""
        return self._courier.at_work

    def close(self, deadline_seconds: float) -> bool:
        """Whether all were told within ``deadline_seconds``; nobody is called after that."""
        told = self._courier.close(deadline_seconds)
        self._listeners = []
        return told

    def _put(self, listener: Listener, alert: Alert) -> None:
        self._courier.put(lambda: self._call(listener, alert))

    def _call(self, listener: Listener, alert: Alert) -> None:
        try:
            _tell(listener, alert)
        except BaseException as error:  # noqa: BLE001 - it is the user's, on a thread of ours
            if id(listener) not in self._failed:
                self._failed.add(id(listener))
                _log.error(
                    "%s, given to on_alert, failed; it is called again at the next alert, and"
                    " further failures are not logged",
                    _shown(listener),
                    exc_info=error,
                )


def _tell(listener: Listener, alert: Alert) -> None:
    made = listener(alert)
    if inspect.iscoroutine(made):
        made.close()
        raise TypeError(SUSPENDED)


def _are_one(listener: Listener, other: Listener) -> bool:
    """Whether both are the same object, or the same method of it, which is made anew each time."""
    if listener is other:
        return True
    return isinstance(listener, BOUND) and type(listener) is type(other) and listener == other


def _is_suspended(listener: Listener) -> bool:
    """Whether a call only makes what somebody else would have to run."""
    return any(
        asks(function)
        for function in (listener, type(listener).__call__)
        for asks in (
            inspect.iscoroutinefunction,
            inspect.isasyncgenfunction,
            inspect.isgeneratorfunction,
        )
    )


def _shown(listener: object) -> str:
    try:
        return f"{listener!r:.200}"
    except Exception:  # noqa: BLE001 - a repr of the user's own may do anything
        return f"a {type(listener).__name__}"
