"""Which callables are taken for alerts, which are the same, and what is said of those that fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import bifurk
from bifurk.listeners import Listeners
from tests.client.said import SILENT


async def _coroutine(alert: bifurk.Alert) -> None:
    raise AssertionError("never runs")


async def _async_generator(alert: bifurk.Alert) -> Any:
    yield alert


def _generator(alert: bifurk.Alert) -> Any:
    yield alert


class _Called:
    async def __call__(self, alert: bifurk.Alert) -> None:
        raise AssertionError("never runs")

    method = _coroutine


@pytest.mark.parametrize(
    "listener",
    [_coroutine, _async_generator, _generator, _Called(), _Called().method, partial(_coroutine)],
)
def test_what_a_call_would_not_run_is_refused(listener: Any) -> None:
    listeners = Listeners()
    with pytest.raises(TypeError, match="give it a plain function"):
        listeners.add(listener, [SILENT])
    assert listeners.close(10.0)


def test_a_coroutine_that_a_call_leaves_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Listeners()

    def leave(alert: bifurk.Alert) -> Any:
        return _coroutine(alert)

    listeners.add(leave, [SILENT])
    assert listeners.close(10.0)
    [record] = caplog.records
    assert "leave" in record.getMessage()
    assert "give it a plain function" in caplog.text


def test_callables_that_are_equal_are_not_the_same_but_a_method_is() -> None:
    told: list[int] = []

    class Equal:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

        def __call__(self, alert: bifurk.Alert) -> None:
            told.append(id(self))

        def hear(self, alert: bifurk.Alert) -> None:
            told.append(-id(self))

    class Unanswerable(Equal):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("like an array's truth")

    one, other, third = Equal(), Equal(), Unanswerable()
    listeners = Listeners()
    for listener in (one, other, third, one, third, one.hear, one.hear, other.hear):
        listeners.add(listener, [SILENT])
    assert listeners.close(10.0)
    assert told == [id(one), id(other), id(third), -id(one), -id(other)]


def test_a_callable_that_cannot_show_itself_is_logged_all_the_same(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise ValueError("no name")

        def __call__(self, alert: bifurk.Alert) -> None:
            raise OSError("nor any use")

    listeners = Listeners()
    listeners.add(Nameless(), [SILENT])
    assert listeners.close(10.0)
    [record] = caplog.records
    assert "a Nameless, given to on_alert, failed" in record.getMessage()
    assert "Logging error" not in capsys.readouterr().err
