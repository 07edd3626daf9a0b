"""The last values of many series: they move on in place, and their steps take half as much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bifurk_service.detect.base import Detection
from bifurk_service.detect.history import LARGEST_SHORT, MOST_EDGES, History, shift_in
from bifurk_service.detect.regime_shift import RegimeShift
from bifurk_service.detect.streams import clocks
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import assert_alike, detections


@pytest.mark.parametrize("changes", [0, 1, 7, MOST_EDGES + 8])
def test_rows_move_on_by_one_value_and_others_stay(changes: int) -> None:
    random = np.random.default_rng(changes)
    ring, newest = random.standard_normal((60, 7)), random.standard_normal(60)
    edges = np.zeros(60, dtype=np.int64)
    edges[random.choice(np.arange(1, 60), changes, replace=False)] = 1
    for start in (0, 1):
        valid = (np.cumsum(edges) + start) % 2 == 1
        moved = ring.copy()
        shift_in(valid, (moved, newest))
        expected = np.where(
            valid[:, None], np.concatenate([ring[:, 1:], newest[:, None]], axis=1), ring
        )
        np.testing.assert_array_equal(moved, expected)


def _pushed(steps: list[int]) -> History:
    history = History(5)
    history.grow(3)
    for index, step in enumerate(steps):
        history.push(step, np.full(3, float(index)), np.arange(3) != index % 3)
    return history


@pytest.mark.parametrize("last", [LARGEST_SHORT, LARGEST_SHORT + 1, 2**52 + 1])
def test_a_step_is_kept_exactly_however_large(last: int) -> None:
    history = _pushed([7, 1_000, LARGEST_SHORT - 5, last])
    assert history.steps[1, -3:].tolist() == [7, LARGEST_SHORT - 5, last]
    assert history.steps.itemsize == (4 if last <= LARGEST_SHORT else 8)


@pytest.mark.parametrize("last", [900, LARGEST_SHORT + 1])
def test_what_is_saved_is_float64_and_what_is_taken_up_goes_on_alike(last: int) -> None:
    history, again = _pushed([7, 8, last]), History(5)
    state = history.snapshot()
    assert state["steps"].dtype == np.float64
    again.restore(state)
    assert again.steps.dtype == history.steps.dtype
    for one in (history, again):
        one.push(last + 10, np.ones(3), np.array([True, False, True]))
    assert_alike(again.snapshot(), history.snapshot())


def test_steps_beyond_thirty_one_bits_are_judged_as_any_others() -> None:
    values = np.exp(0.01 * np.random.default_rng(1).standard_normal((90, 3)))
    values[60:] *= 1.5
    far = 5 * 10**9
    times = [replace(one, step=one.step + far) for one in clocks(90)]
    near = [replace(one, step=one.step + 10**6) for one in clocks(90)]
    found, expected = (
        detections(RegimeShift(BY_NAME["std"]), values, clock=clock) for clock in (times, near)
    )
    assert [_since(one, far) for _, one in found] == [_since(one, 10**6) for _, one in expected]
    assert len(found) == 3


def _since(one: Detection, start: int) -> tuple[int, int, int]:
    return one.series, one.onset_first_step - start, one.onset_last_step - start
