"""The stopwatch behind the budget."""

from __future__ import annotations

import threading
import time

import pytest

import bifurk
from bifurk.overhead import Overhead, ThreadTime
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request, Response
from tests.client.training import new_training, train

BURNT_SECONDS = 0.1
"""Of processor time for one request, far above what a snapshot of the small network costs."""


class Hands:
    now = 100.0


def test_cost_is_stall_and_background_over_the_training_time() -> None:
    clock = Hands()
    overhead = Overhead(background_seconds=lambda: 0.25, now=lambda: clock.now)
    assert overhead.ratio is None
    overhead.start()
    with overhead.stall():
        clock.now += 0.5
    clock.now += 9.5
    overhead.start()
    assert overhead.elapsed_seconds == 10.0
    assert overhead.cost_seconds == 0.75
    assert overhead.ratio == 0.075


def test_a_stall_that_raises_still_counts() -> None:
    clock = Hands()
    overhead = Overhead(background_seconds=lambda: 0.0, now=lambda: clock.now)

    def fail() -> None:
        clock.now += 1.0
        raise RuntimeError

    with pytest.raises(RuntimeError), overhead.stall():
        fail()
    assert overhead.cost_seconds == 1.0


def burn() -> None:
    until = time.thread_time() + BURNT_SECONDS
    while time.thread_time() < until:
        pass


def test_a_thread_tells_its_own_processor_time() -> None:
    told = ThreadTime()
    assert told.seconds == 0.0
    thread = threading.Thread(target=lambda: (burn(), told.tell()))
    thread.start()
    thread.join()
    assert BURNT_SECONDS <= told.seconds < 10 * BURNT_SECONDS


class Laborious(InMemoryTransport):
    """Takes its time on the processor, as compression and encryption do."""

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        burn()
        return super().send(request, deadline_seconds=deadline_seconds)


def test_sending_is_in_the_cost() -> None:
    transport = Laborious()
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, run="r", every=4, transport=transport) as monitor:
        train(model, optimizer, steps=2)
    assert isinstance(monitor, Session)
    requests = len(transport.requests)
    assert requests == 5
    assert monitor._recorder.overhead.cost_seconds >= requests * BURNT_SECONDS
