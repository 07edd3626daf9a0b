"""The wall: nothing of ours raises into training, and what fails is told once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

import bifurk
from bifurk import guard
from bifurk.capture import Capture
from bifurk.encoder import Encoder
from bifurk.guard import FAILURES_IN_A_ROW, Wall
from bifurk.session import Session
from bifurk.testing import InMemoryTransport
from tests.client.training import new_training, steps_of, train

production = pytest.mark.usefixtures("production_wall")


def fail() -> None:
    raise RuntimeError("a fault of ours")


def test_what_passes_comes_back() -> None:
    assert Wall().run(max, 1, 2) == 2


@production
def test_a_failure_stops_here_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    wall = Wall()
    for _ in range(3):
        assert wall.run(fail) is None
    (record,) = caplog.records
    assert record.name == "bifurk"
    assert "fail failed; training goes on" in record.message
    assert record.exc_info is not None


@production
def test_after_failures_in_a_row_the_wall_closes(caplog: pytest.LogCaptureFixture) -> None:
    wall = Wall()
    for _ in range(FAILURES_IN_A_ROW):
        assert not wall.disabled
        wall.run(fail)
    assert wall.disabled
    assert wall.run(max, 1, 2) is None
    assert (
        caplog.messages[-1] == f"switched off after {FAILURES_IN_A_ROW} failures, the last in fail"
    )


@production
def test_a_success_in_between_keeps_it_open() -> None:
    wall = Wall()

    def flaky(*, well: bool) -> None:
        if not well:
            fail()

    for attempt in range(4 * FAILURES_IN_A_ROW):
        wall.run(flaky, well=attempt % FAILURES_IN_A_ROW == 0)
        wall.run(max, 1, 2)
    assert not wall.disabled


@production
def test_a_wall_without_a_limit_never_closes() -> None:
    wall = Wall(failures_in_a_row=None)
    for _ in range(5 * FAILURES_IN_A_ROW):
        wall.run(fail)
    assert not wall.disabled


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@production
def test_what_the_user_raises_passes(error: type[BaseException]) -> None:
    def interrupt() -> None:
        raise error

    with pytest.raises(error):
        Wall().run(interrupt)


def test_in_tests_failures_explode() -> None:
    with guard.reraising(), pytest.raises(RuntimeError, match="a fault of ours"):
        Wall().run(fail)


@production
def test_a_capture_that_fails_costs_snapshots_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, optimizer = new_training()
    unwatched = train(model, optimizer)

    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no memory left")

    transport = InMemoryTransport()
    model, optimizer = new_training()
    monkeypatch.setattr(Capture, "take", exhausted)
    with bifurk.watch(
        model, optimizer, run="r", every=1, transport=transport, overhead_budget=None
    ) as monitor:
        assert train(model, optimizer, monitor=monitor) == unwatched
    report = transport.states()[-1]["loss_report"]
    assert transport.parts() == []
    assert report["dropped"] == {"capture_failed": FAILURES_IN_A_ROW}
    assert report["lost_sequences"] == [[0, FAILURES_IN_A_ROW - 1]]


@production
def test_an_encoder_that_fails_counts_its_snapshots_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works = Encoder._encode
    calls = iter(range(100))

    def fails_at_first(self: Encoder, taken: Any) -> Any:
        if next(calls) < 2:
            fail()
        return works(self, taken)

    monkeypatch.setattr(Encoder, "_encode", fails_at_first)
    transport = InMemoryTransport()
    model, optimizer = new_training()
    with bifurk.watch(
        model, optimizer, run="r", every=4, transport=transport, overhead_budget=None
    ):
        train(model, optimizer, steps=8)
    assert steps_of(transport.parts()) == [2, 4, 8]
    report = transport.states()[-1]["loss_report"]
    assert report["dropped"] == {"encode_failed": 2}
    assert report["lost_sequences"] == [[0, 1]]


@production
def test_what_waits_when_the_wall_closes_is_counted_and_frees_its_buffers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        fail()

    monkeypatch.setattr(Encoder, "_encode", exhausted)
    transport, ready = InMemoryTransport(), threading.Event()
    model, optimizer = new_training()
    monitor = bifurk.watch(
        model, optimizer, run="r", every=1, transport=transport, overhead_budget=None
    )
    assert isinstance(monitor, Session)
    train(model, optimizer, steps=4)
    monitor.flush()
    monitor._encoder.call(lambda: ready.wait(60) and None)
    monitor.mark("checkpoint")
    train(model, optimizer, steps=8)
    ready.set()
    monitor.close()
    end = transport.states()[-1]
    assert end["loss_report"]["dropped"] == {"encode_failed": 8, "switched_off": 5}
    assert end["loss_report"]["lost_sequences"] == [[0, 12]]
    assert [mark["kind"] for mark in end["marks"]] == ["checkpoint"]


@production
def test_wrong_calls_are_told_and_harm_nothing(caplog: pytest.LogCaptureFixture) -> None:
    transport = InMemoryTransport()
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, run="r", every=4, transport=transport) as monitor:
        for _ in range(2 * FAILURES_IN_A_ROW):
            monitor.mark("")
            monitor.set_step(-1)
            monitor.log(loss="high")
        train(model, optimizer, steps=1)
    assert steps_of(transport.parts()) == [0, 1]
    assert "whole number of at least 0, got -1" in caplog.text
    assert "log(loss=...) is left out: expected a number, got str" in caplog.messages
