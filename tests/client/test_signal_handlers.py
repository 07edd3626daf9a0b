"""A signal's handler may call what the loop calls, wherever in ours the signal finds the loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import bifurk
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from tests.client.training import new_training, train

CLIENT = str(Path(bifurk.__file__).parent)

LINES = 500
"""Less than a loop of one step goes through, and more than come before its step."""
SELDOM = 50
PATIENCE_SECONDS = 40.0

pytestmark = pytest.mark.timeout(60)  # a thread that waits for itself does so for ever


@contextmanager
def interrupted_at_every_line_by(handle: Callable[[], object]) -> Iterator[None]:
    """Runs it before each line of the client's on this thread, as a handler may be run."""
    before = sys.gettrace()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        del event, arg
        if not frame.f_code.co_filename.startswith(CLIENT):
            return None
        sys.settrace(None)
        handle()
        sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def watched(transport: InMemoryTransport) -> Callable[[], tuple[Session, Callable[[], object]]]:
    """A monitor, and what a loop does with it."""

    def watched() -> tuple[Session, Callable[[], object]]:
        model, optimizer = new_training()
        settings: dict[str, Any] = {"run": "r", "every": 1, "overhead_budget": None}
        monitor = bifurk.watch(model, optimizer, transport=transport, **settings)
        assert isinstance(monitor, Session)

        def loop() -> None:
            monitor.log(loss=1.0)
            monitor.mark("checkpoint")
            train(model, optimizer, steps=1)
            assert monitor.flush() or monitor.closed

        return monitor, loop

    return watched


def test_one_that_logs_marks_and_flushes_keeps_nobody(watched: Any, transport: Any) -> None:
    monitor, loop = watched()
    numbers = count(1)

    def handle() -> None:
        number = next(numbers)
        monitor.log(memory=number)
        if number < LINES:
            monitor.mark("preempted")
        if number % SELDOM == 0:
            monitor.flush(0)
            repr(monitor)

    with interrupted_at_every_line_by(handle):
        loop()
    monitor.close()
    assert next(numbers) > LINES
    assert [part.manifest.step for part in transport.parts()] == [0, 1]
    kinds = {mark.kind for part in transport.parts() for mark in part.manifest.marks}
    assert kinds == {"checkpoint", "preempted"}


@pytest.mark.parametrize("line", [*range(0, 70, 5), *range(70, LINES, SELDOM)])
def test_one_that_ends_the_watch_ends_it_at_once(watched: Any, transport: Any, line: int) -> None:
    monitor, loop = watched()
    lines = count()

    def handle() -> None:
        if next(lines) == line:
            # Such a thread would wait for its own lock's release until the deadline.
            began = time.monotonic()
            monitor.close(PATIENCE_SECONDS)
            assert time.monotonic() - began < PATIENCE_SECONDS / 2

    with interrupted_at_every_line_by(handle):
        loop()
    assert monitor._ending.over
    assert transport.states()[-1]["state"] == "finished"
