"""Clients that send without pause: each a run of its own, one connection, the library's backoff."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import urllib3
from loading.parts import Stamp, Stamped

from bifurk.retry import Backoff


@dataclass(slots=True)
class Sent:
    """What some clients saw.

    Attributes:
        snapshots: acknowledged. parts: the same in parts. bytes: of their bodies.
        accepted_seconds: of each accepted request, from its sending to its answer.
        waited_seconds: of each part, from its first try to its acknowledgement.
        refused: requests that were answered 503. seconds: how long they sent.
        generator_seconds: processor seconds of this process.
    """

    snapshots: int = 0
    parts: int = 0
    bytes: int = 0
    accepted_seconds: list[float] = field(default_factory=list)
    waited_seconds: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    generator_seconds: float = 0.0

    def percentile_ms(self, share: float, *, waited: bool = False) -> float:
        """Of acknowledgement; with the waits after refusals if asked."""
        found = self.waited_seconds if waited else self.accepted_seconds
        return 1e3 * float(np.percentile(found, share)) if found else float("nan")

    def add(self, other: Sent) -> None:
        """Counts another's in."""
        self.snapshots += other.snapshots
        self.parts += other.parts
        self.bytes += other.bytes
        self.accepted_seconds += other.accepted_seconds
        self.waited_seconds += other.waited_seconds
        self.refused += other.refused


class Client:
    """One run's sender.

    Args:
        url: of the server. stamp: makes its requests. run: its name. first: the next sequence.
    """

    def __init__(self, url: str, stamp: Stamp, run: str, *, first: int = 0) -> None:
        self.run, self.sequence = run, first
        self.sent = Sent()
        self.begin_after = 0.0
        self._url, self._stamp = url, stamp
        self._http = urllib3.PoolManager(retries=False, timeout=120)
        self._backoff = Backoff()

    def send_next(self, stop: threading.Event | None = None) -> bool:
        """Sends the next snapshot; whether all of it was acknowledged before the stop."""
        for request in self._stamp.requests(self.run, self.sequence):
            if not self._deliver(request, stop):
                return False
        self.sequence += 1
        self.sent.snapshots += 1
        return True

    def send_until(self, stop: threading.Event, *, every_seconds: float = 0.0) -> None:
        """Sends one after the other, or at this interval where that is longer."""
        stop.wait(self.begin_after)
        due = time.perf_counter()
        while not stop.is_set() and self.send_next(stop):
            due += every_seconds
            pause = due - time.perf_counter()
            if pause > 0:
                stop.wait(pause)

    def _put(self, request: Stamped) -> urllib3.BaseHTTPResponse:
        """Once more where a connection that lay idle was closed meanwhile, as the client does."""
        try:
            return self._put_once(request)
        except urllib3.exceptions.ProtocolError:
            return self._put_once(request)

    def _put_once(self, request: Stamped) -> urllib3.BaseHTTPResponse:
        return self._http.request(
            "PUT", self._url + request.path, body=request.body, headers=request.headers
        )

    def _deliver(self, request: Stamped, stop: threading.Event | None) -> bool:
        first_try = time.perf_counter()
        while stop is None or not stop.is_set():
            started = time.perf_counter()
            answer = self._put(request)
            now = time.perf_counter()
            if answer.status in (200, 201):
                self._backoff.reset()
                self.sent.parts += 1
                self.sent.bytes += len(request.body)
                self.sent.accepted_seconds.append(now - started)
                self.sent.waited_seconds.append(now - first_try)
                return True
            if answer.status != 503:
                raise RuntimeError(f"{request.path}: {answer.status} {answer.data[:300]!r}")
            self.sent.refused += 1
            pause = self._backoff.next_seconds(at_least=float(answer.headers["Retry-After"]))
            time.sleep(pause) if stop is None else stop.wait(pause)
        return False


def send_for(clients: Sequence[Client], seconds: float, *, every_seconds: float = 0.0) -> Sent:
    """All of them at once, a thread each, for so long; a request under way is finished."""
    stop, failures = threading.Event(), []

    def run(client: Client) -> None:
        try:
            client.send_until(stop, every_seconds=every_seconds)
        except BaseException as error:
            failures.append(error)
            stop.set()

    for client in clients:
        client.sent = Sent()
    started, processor = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    together = Sent(
        seconds=time.perf_counter() - started, generator_seconds=time.process_time() - processor
    )
    for client in clients:
        together.add(client.sent)
    return together
