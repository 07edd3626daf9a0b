"""What a flush says is delivered has been forwarded; what never will be is counted and said."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import bifurk
from bifurk.courier import Courier
from bifurk.testing import InMemoryTransport
from tests.client.alerting import answer, found
from tests.client.training import new_training, train
from tests.server import wait_for


class Writer:
    """Waits for leave before it takes a value; closed as a SummaryWriter is."""

    def __init__(self, *, waits: bool = False) -> None:
        self.all_writers: dict[str, Any] | None = {}
        self.leave = threading.Event()
        self.asked = threading.Event()
        self.steps: list[int] = []
        if not waits:
            self.leave.set()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.asked.set()
        assert self.leave.wait(60)
        self.steps.append(step)

    def add_text(self, name: str, text: str, step: int) -> None:
        pass

    def close(self) -> None:
        self.all_writers = None


def watched(*writers: Writer) -> tuple[Any, Any, Any]:
    model, optimizer = new_training()
    transport = InMemoryTransport([answer(), answer(found())])
    given: dict[str, Any] = {"every": 1, "log_start": False, "overhead_budget": None}
    monitor = bifurk.watch(model, optimizer, run="f", transport=transport, **given)
    for writer in writers:
        monitor.forward(writer)
    return model, optimizer, monitor


def test_a_flush_waits_for_what_is_forwarded(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(waits=True)
    model, optimizer, monitor = watched(writer)
    for step in range(5):
        monitor.log(loss=step)
        train(model, optimizer, steps=1)
    assert writer.asked.wait(60)
    assert not monitor.flush(0.1)
    assert writer.steps == []
    threading.Timer(0.2, writer.leave.set).start()
    assert monitor.flush()
    # What was logged before the first step rides with the snapshot before it.
    assert writer.steps == [0, 2, 3, 4, 5]
    writer.close()
    monitor.close()
    assert caplog.records == []


def test_values_behind_the_writers_close_are_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer()
    model, optimizer, monitor = watched(writer)
    for step in range(5):
        monitor.log(loss=step, accuracy=-step)
        train(model, optimizer, steps=1)
        assert monitor.flush()
        if step == 1:
            writer.close()
    monitor.close()
    monitor.close()
    assert writer.steps == [0, 0, 2, 2]
    [record] = caplog.records
    assert record.getMessage().startswith("6 values and alerts were not forwarded to TensorBoard")


def test_values_that_a_place_was_too_slow_for_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(waits=True)
    model, optimizer, monitor = watched(writer)
    for step in range(4):
        monitor.log(loss=step, accuracy=-step)
        train(model, optimizer, steps=1)
    # Four snapshots of two names, and the alert of the second answer.
    wait_for(lambda: monitor._news.forwards._due.total() == 9, "all of it to be due")
    monitor.flush(0.1)
    monitor.close(0.2)
    writer.leave.set()
    assert "9 values and alerts were not forwarded to TensorBoard" in caplog.text


def test_who_flushes_from_within_waits_for_nothing() -> None:
    courier = Courier("flushing", what="jobs")
    courier.start()
    said: list[bool] = []
    queued = threading.Event()

    def flush() -> None:
        assert queued.wait(60)
        said.append(courier.flush(60))

    courier.put(flush)
    courier.put(lambda: said.append(courier.flush(60)))
    queued.set()
    assert courier.flush(60)
    assert said == [False, True]
    assert courier.close(60)


def test_a_flush_ends_where_a_close_gives_up() -> None:
    courier = Courier("flushing", what="jobs")
    courier.start()
    leave = threading.Event()
    courier.put(lambda: leave.wait(60) and None)
    threading.Timer(0.1, courier.close, [0.0]).start()
    assert not courier.flush(60)
    leave.set()
