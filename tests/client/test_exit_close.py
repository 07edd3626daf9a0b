"""However a watch is closed, the server hears how the run ended and what was lost."""

from __future__ import annotations

import gc
import json
import math
import signal
import threading
import time
from typing import Any

import pytest

import bifurk
from bifurk import deadlines
from bifurk.capture import Capture
from bifurk.encoder import Encoder
from bifurk.recorder import Recorder
from bifurk.reports import Reports
from bifurk.session import Session
from bifurk.step_hooks import StepHooks
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request, Response
from tests.client.said import SILENT
from tests.client.training import new_training, train
from tests.server import wait_for

PATIENCE_SECONDS = 60.0

production = pytest.mark.usefixtures("production_wall")


def watched(transport: InMemoryTransport, *, steps: int) -> tuple[Any, Session]:
    """An optimizer, which must not go away, and its open session after a snapshot a step."""
    model, optimizer = new_training()
    monitor = bifurk.watch(
        model, optimizer, run="r", every=1, overhead_budget=None, transport=transport
    )
    assert isinstance(monitor, Session)
    train(model, optimizer, steps=steps)
    return optimizer, monitor


def ends(monitor: Session) -> bool:
    """Whether the threads come to their end."""
    monitor._encoder._thread.join(PATIENCE_SECONDS)
    return not monitor._encoder._thread.is_alive() and monitor._ending.over


def test_encoding_that_takes_the_whole_deadline_leaves_time_to_tell_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, done = Encoder._encode, threading.Event()

    def slowly(self: Encoder, taken: Any) -> Request:
        assert done.wait(PATIENCE_SECONDS)
        return encode(self, taken)

    monkeypatch.setattr(Encoder, "_encode", slowly)
    monkeypatch.setattr(deadlines, "SENDING_SHARE", 0.99)  # as long as a busy machine may take
    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=2)
    monitor.close(PATIENCE_SECONDS / 2)
    report = transport.states()[-1]
    assert report["state"] == "finished"
    assert report["loss_report"]["dropped"] == {"unencoded_at_close": 3}
    assert report["loss_report"]["lost_sequences"] == [[0, 2]]
    done.set()
    assert ends(monitor)
    assert transport.parts() == []
    assert monitor._ledger.report().dropped == {"unencoded_at_close": 3}


@pytest.mark.parametrize(
    ("code", "state"), [(None, "finished"), (0, "finished"), (3, "failed"), ("no data", "failed")]
)
def test_a_monitor_in_a_with_sees_the_code_of_an_exit(code: object, state: str) -> None:
    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=1)
    with pytest.raises(SystemExit), monitor:
        raise SystemExit(code)
    assert transport.states()[-1]["state"] == state


class Refusing(InMemoryTransport):
    """Answers nothing until opened, and then no part is to its liking."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        assert self.open.wait(PATIENCE_SECONDS)
        answer = super().send(request, deadline_seconds=deadline_seconds)
        return Response(status=422) if "/parts/" in request.path else answer


def test_what_is_refused_while_the_end_waits_is_told_in_a_second_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = Refusing()
    _, monitor = watched(transport, steps=2)
    put = monitor._delivery.put

    def put_and_open(request: Request) -> None:
        put(request)
        # The end, and nothing else: snapshots and the start may still be on their way here.
        if request.sequence is None and json.loads(request.body)["state"] == "finished":
            transport.open.set()

    monkeypatch.setattr(monitor._delivery, "put", put_and_open)
    monitor.close()
    first, second = transport.states()[1:]
    assert first["state"] == second["state"] == "finished"
    assert first["loss_report"]["dropped"] == {}
    assert second["loss_report"]["dropped"] == {"rejected_422": 3}
    assert second["loss_report"]["lost_sequences"] == [[0, 2]]


def test_what_only_a_heartbeat_has_told_is_told_again_at_the_end() -> None:
    transport = InMemoryTransport()
    optimizer, monitor = watched(transport, steps=1)
    flush = monitor._delivery.flush

    def lose_and_beat(deadline_seconds: float) -> bool:
        monitor._ledger.drop("rejected_422", 1)
        monitor._telling.sign_of_life()  # which may be lost on its way
        return flush(deadline_seconds)

    monitor._delivery.flush = lose_and_beat  # type: ignore[method-assign]
    monitor.close()
    del optimizer
    assert transport.states()[-1]["loss_report"]["dropped"] == {"rejected_422": 1}


def test_a_flush_that_comes_behind_the_end_waits_for_the_threads_end_alone() -> None:
    optimizer, monitor = watched(InMemoryTransport(), steps=1)
    encoder, done = monitor._encoder, threading.Event()
    encoder.call(lambda: done.wait(PATIENCE_SECONDS) and None)
    assert not encoder.close(0)
    assert not encoder.drain(0)
    done.set()
    assert encoder.drain(PATIENCE_SECONDS)
    monitor.close()
    del optimizer


@pytest.mark.parametrize("deadline", [math.inf, 1e300, 10])
def test_a_deadline_may_be_as_long_as_it_likes(deadline: float) -> None:
    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=1)
    assert monitor.flush(deadline)
    monitor.close(deadline)
    assert ends(monitor)
    assert transport.states()[-1]["state"] == "finished"


@pytest.mark.parametrize("deadline", [math.nan, -1, 0])
def test_a_deadline_that_is_none_does_not_wait(deadline: float) -> None:
    _, monitor = watched(InMemoryTransport(), steps=1)
    monitor.close(deadline)
    assert ends(monitor)


@production
def test_a_deadline_of_another_kind_is_told_and_the_next_close_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=1)
    monitor.close("soon")  # type: ignore[arg-type]
    assert not monitor.closed
    assert "_close failed" in caplog.text
    monitor.close()
    assert transport.states()[-1]["state"] == "finished"


@production
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (StepHooks, "remove"),
        (Encoder, "close"),
        (Recorder, "free"),
        (Reports, "read_last_scalars"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_step_of_the_closing_that_fails_stops_no_other(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=1)
    assert monitor.flush()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        monitor.close()
    monitor._encoder.close(PATIENCE_SECONDS)
    assert ends(monitor)
    assert transport.states()[-1]["state"] == "finished"
    assert monitor._delivery._closed  # type: ignore[attr-defined]


def interrupt_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def interrupted() -> tuple[InMemoryTransport, Any, Session]:
    """A session whose close was interrupted while it waited for the encoder."""
    transport, done = InMemoryTransport(), threading.Event()
    optimizer, monitor = watched(transport, steps=2)

    def interrupt() -> None:
        # What is behind this one is the last look at the scalars and then the thread's end.
        wait_for(lambda: monitor._encoder._queue.qsize() == 2, "the close to wait for this thread")
        interrupt_main_thread()
        done.wait(PATIENCE_SECONDS)

    monitor._encoder.call(interrupt)
    with pytest.raises(KeyboardInterrupt):
        monitor._leave(RuntimeError("diverged"))
    done.set()
    return transport, optimizer, monitor


@production
def test_an_interrupted_close_has_told_the_end(
    interrupted: tuple[InMemoryTransport, Any, Session],
) -> None:
    transport, _, monitor = interrupted
    assert monitor.closed
    transport.wait_for_requests(5)
    assert transport.states()[-1]["state"] == "failed"
    monitor.close()
    assert ends(monitor)


@production
@pytest.mark.parametrize("way", ["close", "_at_exit"])
def test_an_interrupted_close_is_finished_by_the_next(
    way: str, interrupted: tuple[InMemoryTransport, Any, Session]
) -> None:
    transport, _, monitor = interrupted
    getattr(monitor, way)()
    assert ends(monitor)
    assert len(transport.parts()) == 3
    assert transport.states()[-1]["state"] == "failed"
    requests = len(transport.requests)
    monitor.close()
    monitor._at_exit()
    assert len(transport.requests) == requests


@pytest.fixture
def patient_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends that nobody gave a deadline have as long as a busy machine may take."""
    monkeypatch.setattr("bifurk.session.EXIT_SECONDS", PATIENCE_SECONDS)


@pytest.mark.usefixtures("patient_exit")
@pytest.mark.parametrize("way", ["close", "_at_exit", "end_replaced"])
def test_who_ends_it_waits_for_a_close_on_another_thread(way: str) -> None:
    transport = Refusing()
    _, monitor = watched(transport, steps=1)
    closing = threading.Thread(target=monitor.close)
    closing.start()
    while closing.is_alive() and not monitor.closed:
        closing.join(0.001)
    over = []
    leaving = threading.Thread(
        target=lambda: (getattr(monitor, way)(), over.append(monitor._ending.over))
    )
    leaving.start()
    transport.open.set()
    leaving.join(PATIENCE_SECONDS)
    assert over == [True]
    closing.join(PATIENCE_SECONDS)
    assert transport.states()[-1]["state"] == "finished"


@pytest.mark.usefixtures("patient_exit")
def test_a_close_waits_for_the_end_of_a_watch_whose_optimizer_is_gone() -> None:
    transport = Refusing()
    optimizer, monitor = watched(transport, steps=1)
    del optimizer
    gc.collect()
    wait_for(lambda: monitor.closed, "the end to begin")
    threading.Timer(0.2, transport.open.set).start()
    monitor.close()
    assert monitor._ending.over
    assert [part.manifest.step for part in transport.parts()] == [0, 1]


def test_a_close_while_another_ends_the_watch_waits_no_longer_than_it_may() -> None:
    transport = Refusing()
    _, monitor = watched(transport, steps=1)
    closing = threading.Thread(target=monitor.close)
    closing.start()
    wait_for(lambda: monitor.closed, "the end to begin")
    monitor.close(0.05)
    assert not monitor._ending.over
    transport.open.set()
    closing.join(PATIENCE_SECONDS)
    assert monitor._ending.over


def test_who_the_end_waits_for_does_not_wait_for_it() -> None:
    """A close within an end, on its thread or on one that it joins, returns at once."""
    transport = InMemoryTransport()
    _, monitor = watched(transport, steps=1)
    within: list[bool] = []

    def close_again() -> None:
        monitor.close(PATIENCE_SECONDS)
        within.append(monitor._ending.over)

    stop = monitor._ending._stop
    monitor._ending._stop = lambda: (close_again(), stop())
    monitor._encoder.call(
        lambda: (wait_for(lambda: monitor.closed, "the end to begin"), close_again())
    )
    monitor._news._listeners.add(
        lambda _: (wait_for(lambda: monitor.closed, "the end to begin"), close_again()), [SILENT]
    )
    began = time.monotonic()
    monitor.close(PATIENCE_SECONDS)
    assert within == [False] * 3
    assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_a_snapshot_that_is_being_taken_at_the_end_is_none_of_the_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = InMemoryTransport()
    model, optimizer = new_training()
    monitor = bifurk.watch(model, optimizer, run="r", every=4, transport=transport)
    assert isinstance(monitor, Session)
    train(model, optimizer, steps=1)
    take = Capture.take

    def take_while_another_closes(self: Capture, **wanted: Any) -> Any:
        snapshot = take(self, **wanted)
        closing = threading.Thread(target=monitor.close)
        closing.start()
        closing.join(PATIENCE_SECONDS)
        return snapshot

    monkeypatch.setattr(Capture, "take", take_while_another_closes)
    train(model, optimizer, steps=1)
    end = transport.states()[-1]
    assert (end["state"], end["last_sequence"]) == ("finished", 1)
    assert [part.manifest.step for part in transport.parts()] == [0, 1]
    assert monitor._ledger.report().dropped == {"unencoded_at_close": 1}
