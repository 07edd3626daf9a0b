"""Logged scalars: last, mean, min, max and count per interval, bounded, never waited for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from bifurk.scalars import MAX_NAMES, PENDING_VALUES, Interval, ScalarLog, _Series


def summary(*values: Any) -> Any:
    log = ScalarLog()
    for value in values:
        log.add({"x": value})
    return log.take().summaries()["x"]


def test_an_interval_is_summarised() -> None:
    got = summary(3.0, 1.0, 2.0)
    assert (got.last, got.mean, got.min, got.max, got.count) == (2.0, 2.0, 1.0, 3.0, 3)


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.int64(2),
        np.array([2.0]),
        torch.tensor(2),
        torch.tensor([[2.0]], requires_grad=True),
        torch.tensor(2.0, dtype=torch.bfloat16),
    ],
)
def test_whatever_holds_one_number_is_taken(value: Any) -> None:
    assert summary(value).last == 2.0


@pytest.mark.parametrize(
    "value",
    [
        "2",
        None,
        [2.0],
        torch.tensor([1.0, 2.0]),
        torch.tensor([]),
        torch.tensor(1j),
        torch.tensor(1.0, device="meta"),
        np.array([1.0, 2.0]),
        np.array(["a"]),
        10**400,
    ],
)
def test_what_does_not_is_left_out_and_said_once(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log = ScalarLog()
    for _ in range(3):
        log.add({"x": value, "y": 1.0})
    assert list(log.take().summaries()) == ["y"]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("log(x=...) is left out")


def test_intervals_do_not_mix() -> None:
    log = ScalarLog()
    log.add({"x": 1.0})
    first = log.take()
    log.add({"x": 5.0})
    assert first.summaries()["x"].max == 1.0
    assert log.take().summaries()["x"].min == 5.0
    assert log.take().summaries() == {}


def test_a_nan_stays_visible() -> None:
    got = summary(1.0, math.nan, 2.0)
    assert got.last == 2.0
    assert math.isnan(got.mean)
    assert math.isnan(got.min)
    assert math.isnan(got.max)


def test_a_tensor_changed_after_logging_keeps_what_was_logged() -> None:
    value = torch.tensor(1.0)
    log = ScalarLog()
    log.add({"x": value})
    value.fill_(9.0)
    assert log.take().summaries()["x"].last == 1.0


def test_names_are_bounded_and_checked(caplog: pytest.LogCaptureFixture) -> None:
    log = ScalarLog()
    log.add({f"n{number}": 1.0 for number in range(MAX_NAMES + 1)})
    log.add({"": 1.0, "a\nb": 1.0, "x" * 1000: 1.0})
    assert len(log.take().summaries()) == MAX_NAMES
    assert len(caplog.messages) == 4


def test_device_values_are_folded_without_being_read() -> None:
    series = _Series()
    count = 2 * PENDING_VALUES + 10
    for number in range(count):
        series.add_on_device(torch.tensor(float(number)))
    assert len(series._pending) == 10
    assert len(series._folded) == 2
    got = series.summary()
    assert (got.last, got.min, got.max, got.count) == (count - 1, 0.0, count - 1, count)
    assert got.mean == pytest.approx((count - 1) / 2)


@pytest.mark.parametrize("device_last", [True, False])
def test_numbers_and_device_values_of_one_name_keep_their_order(device_last: bool) -> None:
    series = _Series()
    if device_last:
        series.add(1.0)
        series.add_on_device(torch.tensor(2.0))
    else:
        series.add_on_device(torch.tensor(2.0))
        series.add(1.0)
    assert series.summary().last == (2.0 if device_last else 1.0)
    assert series.summary().count == 2


def test_values_of_one_name_may_lie_on_several_devices() -> None:
    series = _Series()
    series.add_on_device(torch.tensor(1.0))
    series.add_on_device(torch.tensor(2.0, device="meta"))
    series._fold()
    ((folded, count),) = series._folded
    assert (folded.device.type, count) == ("meta", 2)


def test_an_empty_interval_has_no_summaries() -> None:
    assert Interval().summaries() == {}
