"""A finaliser of the user's may end the watch, and the collector runs it on whatever thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import bifurk
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request, Response
from tests.client.training import new_training, train
from tests.server import wait_for

PATIENCE_SECONDS = 60.0


class Trainer:
    """Ends its watch when it is no longer needed."""

    def __init__(self, transport: InMemoryTransport) -> None:
        self.model, self.optimizer = new_training()
        settings: dict[str, Any] = {"run": "r", "every": 1, "overhead_budget": None}
        self.monitor = bifurk.watch(self.model, self.optimizer, transport=transport, **settings)

    @property
    def session(self) -> Session:
        assert isinstance(self.monitor, Session)
        return self.monitor

    def train(self, steps: int) -> None:
        train(self.model, self.optimizer, steps=steps)


class Collecting(InMemoryTransport):
    """Runs something once, within a request that carries a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.collect: Callable[[], object] = int

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        if "/parts/" in request.path:
            collect, self.collect = self.collect, int
            collect()
        return super().send(request, deadline_seconds=deadline_seconds)


def on_the_encoders_thread(
    trainer: Trainer, _: Collecting, call: Callable[[], object]
) -> threading.Event:
    """Calls there once the event is set, with all that is taken until then still to be done."""
    begin = threading.Event()
    trainer.session._encoder.call(lambda: begin.wait(PATIENCE_SECONDS) and call() and None)
    return begin


def on_the_senders_thread(
    _: Trainer, transport: Collecting, call: Callable[[], object]
) -> threading.Event:
    begin = threading.Event()
    transport.collect = lambda: begin.wait(PATIENCE_SECONDS) and call()
    return begin


@pytest.mark.parametrize("where", [on_the_encoders_thread, on_the_senders_thread])
def test_all_that_was_taken_arrives_and_the_end_behind_it(where: Any) -> None:
    transport = Collecting()
    trainer = Trainer(transport)
    seconds: list[float] = []

    def finalise() -> None:
        began = time.monotonic()
        trainer.monitor.close(PATIENCE_SECONDS)
        seconds.append(time.monotonic() - began)

    begin = where(trainer, transport, finalise)
    trainer.train(steps=3)
    begin.set()
    wait_for(lambda: trainer.session._ending.over, "the end")
    assert [part.manifest.step for part in transport.parts()] == [0, 1, 2, 3]
    assert transport.states()[-1]["state"] == "finished"
    assert transport.states()[-1]["loss_report"]["dropped"] == {}
    assert seconds[0] < PATIENCE_SECONDS / 2, "nobody waits for himself"


@pytest.mark.parametrize("where", [on_the_encoders_thread, on_the_senders_thread])
def test_a_flush_there_says_that_there_is_more_to_come(where: Any) -> None:
    transport = Collecting()
    trainer = Trainer(transport)
    said: list[bool] = []
    begin = where(trainer, transport, lambda: said.append(trainer.monitor.flush(PATIENCE_SECONDS)))
    trainer.train(steps=1)
    begin.set()
    wait_for(lambda: said, "an answer", seconds=PATIENCE_SECONDS / 2)
    assert said == [False]
    trainer.monitor.close()
