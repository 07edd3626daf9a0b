"""Stand-ins for the network and the clock, for your own tests of what you build on bifurk.

transport = InMemoryTransport()
with bifurk.watch(model, optimizer, transport=transport):
    train(model, optimizer)
assert [part.manifest.step for part in transport.parts()] == [0, 1, 2, 4]
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

from bifurk.transport import Request, Response, TransportError
from bifurk.wire import Part, decode

Answer: TypeAlias = int | Response | TransportError
"""A status, a whole response, or the failure to get one."""

CREATED: Final = 201
PATIENCE_SECONDS: Final = 10.0
"""How long the ``wait_...`` methods wait for what should come at once."""


class InMemoryTransport:
    """Keeps every request and answers 201, or what it was told to answer first; thread-safe.

    Args:
        answers: one for each of the first requests, in order; 201 after them.
    """

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self._condition = threading.Condition()
        self._answers = list(answers)
        self._requests: list[Request] = []
        self.closed = False

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        """See ``bifurk.transport.Transport.send``."""
        del deadline_seconds
        with self._condition:
            self._requests.append(request)
            self._condition.notify_all()
            answer = self._answers.pop(0) if self._answers else CREATED
        return _response(answer)

    def close(self) -> None:
        """Remembers that it was closed."""
        self.closed = True

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order; retries count again."""
        with self._condition:
            return list(self._requests)

    def parts(self) -> list[Part]:
        """The snapshot parts among the requests, decoded."""
        return [_part(request) for request in self.requests if "/parts/" in request.path]

    def states(self) -> list[dict[str, Any]]:
        """The attempt's states among the requests: at the start, heartbeats, at the end."""
        return [
            json.loads(request.body) for request in self.requests if "/parts/" not in request.path
        ]

    def wait_for_requests(
        self, count: int, *, deadline_seconds: float = PATIENCE_SECONDS
    ) -> list[Request]:
        """The requests once there are ``count`` of them.

        Raises:
            TimeoutError: there were fewer after ``deadline_seconds``.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: len(self._requests) >= count, deadline_seconds):
                raise TimeoutError(f"expected {count} requests, got {len(self._requests)}")
            return list(self._requests)


class FailingTransport:
    """Never delivers until released, then delivers to another transport.

    Args:
        how: ``refuses`` raises at once; ``hangs`` waits for its deadline, then raises; a status
            is answered.
        then: gets the requests after ``release``.
    """

    def __init__(
        self,
        how: Literal["refuses", "hangs"] | int = "refuses",
        *,
        then: InMemoryTransport | None = None,
    ) -> None:
        self._how = how
        self._released = threading.Event()
        self.then = then or InMemoryTransport()
        self.attempts = 0
        self.attempted = threading.Event()

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        """See ``bifurk.transport.Transport.send``."""
        self.attempts += 1
        self.attempted.set()
        if self._how == "hangs":
            self._released.wait(min(deadline_seconds, threading.TIMEOUT_MAX))
        if self._released.is_set():
            return self.then.send(request, deadline_seconds=deadline_seconds)
        if isinstance(self._how, int):
            return Response(status=self._how)
        raise TransportError("connection refused" if self._how == "refuses" else "timed out")

    def release(self) -> None:
        """From now on everything is delivered, a hanging request too."""
        self._released.set()

    def close(self) -> None:
        """Nothing to let go of."""


class ManualClock:
    """Time that passes only when told to; see ``bifurk.clock.Clock``."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._now = 0.0
        self._waiting: dict[int, tuple[threading.Condition, float]] = {}

    def now(self) -> float:
        """Seconds advanced so far."""
        with self._lock:
            return self._now

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Waits until notified, or until the time was advanced by ``seconds``."""
        me = threading.get_ident()
        with self._lock:
            self._waiting[me] = (condition, self._now + seconds)
            self._lock.notify_all()
        try:
            condition.wait()
        finally:
            with self._lock:
                del self._waiting[me]

    def advance(self, seconds: float) -> None:
        """Lets time pass and wakes whoever waited for that long."""
        with self._lock:
            self._now += seconds
            due = [condition for condition, end in self._waiting.values() if end <= self._now]
        for condition in due:
            with condition:
                condition.notify_all()

    def wait_for_sleeper(self, *, deadline_seconds: float = PATIENCE_SECONDS) -> float:
        """The shortest sleep under way, in seconds still to go, once a thread sleeps.

        Raises:
            TimeoutError: none did within ``deadline_seconds`` of real time.
        """

        def shortest() -> float | None:
            sleeps = (end - self._now for _, end in self._waiting.values())
            return min((sleep for sleep in sleeps if sleep > 0), default=None)

        with self._lock:
            sleep = self._lock.wait_for(shortest, deadline_seconds)
        if sleep is None:
            raise TimeoutError("no thread sleeps on this clock")
        return sleep


def _response(answer: Answer) -> Response:
    if isinstance(answer, TransportError):
        raise answer
    return Response(status=answer) if isinstance(answer, int) else answer


def _part(request: Request) -> Part:
    return decode(request.body, encoding=request.headers.get("Content-Encoding", "identity"))
