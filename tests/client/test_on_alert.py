"""What the server finds reaches the user's callables: once, in order, and holding up nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch

import bifurk
from bifurk import courier
from bifurk.listeners import THREAD_NAME
from bifurk.monitor import InertMonitor
from bifurk.testing import InMemoryTransport
from tests.client.alerting import answer, body, found
from tests.client.loopback import Handler, serving
from tests.client.training import new_training, train
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, Server, wait_for

SOON_SECONDS = 60.0
"""Less than what hangs here does."""


@pytest.fixture
def watch() -> Callable[..., bifurk.Monitor]:
    """Starts to watch a small training whose server gives these answers, the first at the start."""

    def watch(*answers: Any, **settings: Any) -> bifurk.Monitor:
        model, optimizer = new_training()
        transport = InMemoryTransport(answers)
        given = {"run": "alerts", "every": 1, "overhead_budget": None, **settings}
        monitor = bifurk.watch(model, optimizer, transport=transport, **given)
        monitor.model, monitor.optimizer = model, optimizer
        assert monitor.flush()
        return monitor

    return watch


@pytest.fixture
def listening() -> Callable[[], list[threading.Thread]]:
    """The threads that tell alerts, but for those of former tests."""
    others = {*threading.enumerate()}
    return lambda: [
        thread for thread in {*threading.enumerate()} - others if thread.name == THREAD_NAME
    ]


def go_on(monitor: Any, steps: int = 1) -> None:
    train(monitor.model, monitor.optimizer, steps=steps)
    assert monitor.flush()


def test_an_alert_is_a_frozen_value_of_what_the_server_said(watch: Any) -> None:
    heard: list[bifurk.Alert] = []
    monitor = watch(answer(found()), url="http://bifurk.test/prefix/")
    monitor.on_alert(heard.append)
    monitor.close()
    assert heard == [
        bifurk.Alert(
            id=7,
            fingerprint="event-1",
            kind="regime_shift",
            severity="warning",
            state="firing",
            sentence="The rms of head.weight rose.",
            detected_step=30,
            onset_first_step=10,
            onset_last_step=20,
            tensors=("head.weight",),
            url="http://bifurk.test/prefix/alerts/7",
        )
    ]
    with pytest.raises(FrozenInstanceError):
        heard[0].state = "resolved"  # type: ignore[misc]


def test_each_news_is_told_once_to_each_in_the_order_it_happened(watch: Any) -> None:
    first, second = found("a"), found("b")
    graver, over = found("a", severity="critical"), found("b", state="resolved")
    answers = [answer(), answer(second, first), answer(second, first), answer(over, graver)]
    answers += [answer(second, graver)]
    monitor = watch(*answers)
    heard: list[tuple[str, str, str, str]] = []
    for who in ("one", "other"):

        def keep(alert: bifurk.Alert, who: str = who) -> None:
            heard.append((who, alert.fingerprint, alert.severity, alert.state))

        assert monitor.on_alert(keep) is keep
        assert monitor.on_alert(keep) is keep
    go_on(monitor, steps=5)
    monitor.close()
    news = [("a", "warning", "firing"), ("b", "warning", "firing")]
    news += [("a", "critical", "firing"), ("b", "warning", "resolved")]
    news += [("b", "warning", "firing")]
    assert heard == [(who, *one) for one in news for who in ("one", "other")]


def test_who_comes_late_is_told_what_is_known(watch: Any) -> None:
    monitor = watch(answer(found("b"), found("a")), answer(found("a", state="resolved")))
    go_on(monitor)
    heard: list[tuple[str, str]] = []
    monitor.on_alert(lambda alert: heard.append((alert.fingerprint, alert.state)))
    go_on(monitor)
    monitor.close()
    assert heard == [("b", "firing"), ("a", "resolved")]


def test_they_are_called_on_a_thread_of_their_own_that_waits_for_somebody(
    watch: Any, listening: Any
) -> None:
    monitor = watch(answer(found()))
    assert listening() == []
    heard: list[threading.Thread] = []
    monitor.on_alert(lambda alert: heard.append(threading.current_thread()))
    [thread] = listening()
    assert thread.daemon
    monitor.close()
    assert heard == [thread]
    assert not thread.is_alive()


def test_a_callable_that_hangs_holds_up_nothing_but_the_close_and_that_in_time(
    watch: Any, listening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = watch(answer(found("a")))
    released, begun = threading.Event(), threading.Event()

    def hang(alert: bifurk.Alert) -> None:
        begun.set()
        released.wait(DEADLINE_SECONDS)

    monitor.on_alert(hang)
    assert begun.wait(SOON_SECONDS)
    go_on(monitor, steps=3)
    assert monitor.step == 3
    began = time.monotonic()
    monitor.close(0.2)
    assert time.monotonic() - began < SOON_SECONDS
    released.set()
    assert "callables given to on_alert have not ended in time" in caplog.text
    wait_for(lambda: not listening(), "the thread's end")


def test_one_that_raises_is_logged_once_and_the_others_are_told(
    watch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = watch(answer(), answer(found("a")), answer(found("b"), found("a")))

    @monitor.on_alert
    def break_down(alert: bifurk.Alert) -> None:
        raise SystemExit("an exit on this thread ends nothing")

    heard: list[str] = []
    monitor.on_alert(lambda alert: heard.append(alert.fingerprint))
    go_on(monitor, steps=3)
    monitor.close()
    assert heard == ["a", "b"]
    [record] = [record for record in caplog.records if "on_alert" in record.message]
    assert "break_down" in record.message


def test_who_is_too_slow_for_all_the_news_misses_some_and_that_is_said_once(
    watch: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "MOST_WAITING", 3)
    released, begun = threading.Event(), threading.Event()
    heard: list[str] = []

    def slow(alert: bifurk.Alert) -> None:
        begun.set()
        released.wait(DEADLINE_SECONDS)
        heard.append(alert.fingerprint)

    monitor = watch(answer(found("0")), answer(*(found(str(n)) for n in range(9, 0, -1))))
    monitor.on_alert(slow)
    assert begun.wait(SOON_SECONDS)
    go_on(monitor)
    released.set()
    monitor.close()
    assert heard == ["0", "1", "2", "3"]
    assert monitor._news._listeners._courier.dropped == 6
    assert caplog.text.count("slower than the news") == 1


def test_the_answer_to_the_end_is_the_last_that_is_told(watch: Any) -> None:
    monitor = watch(answer(), answer(found("last words")), answer(found("too late")))
    heard: list[str] = []
    monitor.on_alert(lambda alert: heard.append(alert.fingerprint))
    monitor.close()
    assert heard == ["last words"]
    monitor.on_alert(lambda alert: heard.append("after the close"))
    assert heard == ["last words"]


def test_a_callable_may_end_the_watch(watch: Any) -> None:
    monitor = watch(answer(found()))
    monitor.on_alert(lambda alert: monitor.close())
    wait_for(lambda: monitor.closed, "the close")
    monitor.close()


def test_what_cannot_be_called_is_refused_behind_the_wall(
    watch: Any, production_wall: None, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = watch()
    monitor.on_alert("a word")
    assert "on_alert() takes a callable" in caplog.text
    monitor.close()


def test_offline_says_once_that_nobody_will_be_called(
    tmp_path: Path, listening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, run="r", offline_dir=tmp_path) as monitor:
        monitor.on_alert(print)
        monitor.on_alert(print)
        train(model, optimizer, steps=2)
    assert caplog.text.count("in mode 'offline' no server answers") == 1
    assert listening() == []


def test_a_monitor_that_does_nothing_calls_nobody() -> None:
    assert InertMonitor().on_alert(print) is print


def test_a_forked_child_calls_nobody(watch: Any) -> None:
    monitor = watch(answer(found()))
    child = os.fork()
    if child == 0:
        monitor.on_alert(lambda alert: os._exit(1))
        alive = THREAD_NAME in {thread.name for thread in threading.enumerate()}
        silent = "is the child" in repr(monitor)
        os._exit(0 if silent and not alive else 2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    monitor.close()


def test_what_an_earlier_process_left_is_answered_about_its_own_attempt(tmp_path: Path) -> None:
    port = own_port()

    def answers_about_its_run(handler: Handler) -> None:
        handler.read_body()
        run = handler.path.split("/")[6]
        wish = {"tensors": [run], "every": 1, "first_step": 0, "last_step": 10**9}
        handler.reply(201, body(found(run), directives=[wish], page=f"/runs/{run}"))

    settings: dict[str, Any] = {"url": f"http://127.0.0.1:{port}", "spool_dir": tmp_path}
    model, optimizer = new_training()
    bifurk.watch(model, optimizer, run="earlier", **settings).close(0.0)
    heard: list[str] = []
    with serving(*[answers_about_its_run] * 20, port=port) as server:
        model, optimizer = new_training()
        monitor = bifurk.watch(model, optimizer, run="own", **settings)
        monitor.on_alert(lambda alert: heard.append(alert.fingerprint))
        assert monitor.flush()
        assert monitor._directives.wanted_in_full(5) == {"own"}  # type: ignore[attr-defined]
        monitor.close()
        paths = [received.path for received in server.received()]
    assert any("/earlier/" in path for path in paths)
    assert heard == ["own"]


def test_a_callable_hears_of_weights_that_are_no_numbers_from_a_real_server(
    server: Server, tmp_path: Path
) -> None:
    model, optimizer = new_training()
    settings: dict[str, Any] = {"run": "broken", "every": 1, "overhead_budget": None}
    heard: list[bifurk.Alert] = []
    done = threading.Event()
    with bifurk.watch(
        model, optimizer, url=server.url, spool_dir=tmp_path / "spool", **settings
    ) as monitor:

        @monitor.on_alert
        def keep(alert: bifurk.Alert) -> None:
            heard.append(alert)
            done.set()

        train(model, optimizer, steps=2)
        with torch.no_grad():
            model.output.weight[0, 0] = float("nan")
        train(model, optimizer, steps=1)
        # No further step: a heartbeat asks for what the snapshot has led to.
        assert done.wait(DEADLINE_SECONDS), "nothing was heard"
    [alert] = [alert for alert in heard if alert.kind == "non_finite"]
    assert (alert.severity, alert.state, alert.detected_step) == ("critical", "firing", 3)
    assert "output.weight" in alert.tensors
    status, page = server.request("GET", (alert.url or "").removeprefix(server.url))
    assert (status, alert.sentence[:20] in page) == (200, True)
    assert "critical 1" in repr(monitor)


def test_listeners_are_let_go_of_at_the_close(watch: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    monitor = watch()
    monitor.on_alert(lambda alert: None)
    monitor.close()
    assert monitor._news._listeners._listeners == []
    assert caplog.records == []
