"""Motion statistics: exact, per step, and silent where there is nothing to compare."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bifurk.exact import Exact
from bifurk_service.stats.motion import motion_statistics
from bifurk_service.stats.value import (
    ALL_ZERO,
    EMPTY,
    FIRST_ALL_EQUAL,
    FIRST_ALL_ZERO,
    INCOMPARABLE,
    NO_EARLIER,
    NO_FINITE,
    NOT_SENT,
    Value,
)
from tests.stats.oracle import expected_motion
from tests.stats.tensors import DTYPES, exact, number, weights

SIZE = 4_096


def course(dtype: str) -> tuple[Exact, Exact, Exact]:
    """First, previous and present weights; the last step moves one in three not at all."""
    rng = np.random.default_rng(4)
    first = weights("gaussian", SIZE)
    previous = first + 0.005 * rng.normal(size=SIZE)
    now = previous + np.where(rng.uniform(size=SIZE) < 1 / 3, 0, 0.001) * rng.normal(size=SIZE)
    return exact(first, dtype), exact(previous, dtype), exact(now, dtype)


def since(
    now: Exact, previous: Exact | None, *, first: Exact | None = None, steps: int | None = 1
) -> dict[str, Value]:
    return motion_statistics(now, previous=previous, first=first, steps_since_previous=steps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_motion_equals_numpy_on_the_exact_weights(dtype: str) -> None:
    first, previous, now = course(dtype)
    measured = since(now, previous, first=first, steps=20)
    expected = expected_motion(now.float64(), previous.float64(), first.float64(), 20)
    assert measured == pytest.approx(expected, rel=1e-12)


def test_the_update_ratio_is_per_step_of_a_random_walk() -> None:
    _, previous, now = course("float32")
    one, hundred = (since(now, previous, steps=steps) for steps in (1, 100))
    assert number(hundred["update_ratio"]) == pytest.approx(number(one["update_ratio"]) / 10)
    assert hundred["update_ratio_raw"] == one["update_ratio_raw"]


def test_updates_too_small_for_bfloat16_show_as_unmoved() -> None:
    weight = np.full(SIZE, 0.02)
    update = np.where(np.arange(SIZE) % 4 == 0, 0.001, 0.00001)
    measured = since(exact(weight + update, "bfloat16"), exact(weight, "bfloat16"))
    assert measured["unmoved_share"] == 0.75


def test_minus_zero_has_not_moved_from_zero() -> None:
    measured = since(exact([0.0, -0.0, 1.0]), exact([-0.0, 0.0, 1.0]))
    assert measured["unmoved_share"] == 1.0
    assert measured["update_ratio"] == 0.0


def test_standing_still_is_a_distance_of_zero_and_a_cosine_of_one() -> None:
    first, _, _ = course("float32")
    measured = since(first, first, first=first)
    assert measured["distance_to_first"] == 0.0
    assert measured["cosine_to_first"] == pytest.approx(1.0, abs=1e-15)
    assert number(measured["cosine_to_first"]) <= 1.0
    assert measured["std_ratio_to_first"] == 1.0


def test_turning_round_is_a_cosine_of_minus_one() -> None:
    first, _, _ = course("float32")
    turned = exact(-first.float64())
    assert since(turned, None, first=first)["cosine_to_first"] == pytest.approx(-1.0, abs=1e-15)


def test_elements_that_are_not_finite_on_either_side_are_left_out() -> None:
    first, previous, now = course("float64")
    expected = since(now, previous, first=first)
    broken = Exact(dtype="float64", data=np.append(now.data, [np.nan, 1.0, np.inf]))
    before = Exact(dtype="float64", data=np.append(previous.data, [1.0, np.nan, np.inf]))
    start = Exact(dtype="float64", data=np.append(first.data, [1.0, -np.inf, 0.5]))
    assert since(broken, before, first=start) == expected


def test_the_first_snapshot_has_nothing_to_compare_with() -> None:
    measured = motion_statistics(
        exact([1.0, 2.0]), previous=None, first=None, steps_since_previous=None
    )
    assert set(measured.values()) == {NO_EARLIER}


def test_without_a_trace_nothing_is_known() -> None:
    earlier = exact([1.0])
    measured = motion_statistics(None, previous=earlier, first=earlier, steps_since_previous=1)
    assert set(measured.values()) == {NOT_SENT}


@pytest.mark.parametrize("steps", [None, 0])
def test_without_a_number_of_steps_only_the_raw_ratio_is_known(steps: int | None) -> None:
    measured = since(exact([2.0, 2.0]), exact([1.0, 1.0]), steps=steps)
    assert measured["update_ratio"] == NO_EARLIER
    assert measured["update_ratio_raw"] == 0.5


def test_what_cannot_be_compared_says_why() -> None:
    assert set(since(exact([1.0]), exact([1.0, 2.0])).values()) == {INCOMPARABLE, NO_EARLIER}
    assert since(exact([]), exact([]))["unmoved_share"] == EMPTY
    assert since(exact([np.nan]), exact([1.0]))["update_ratio"] == NO_FINITE


def test_zero_weights_have_no_ratios_but_may_be_unmoved() -> None:
    measured = since(exact([0.0, 0.0]), exact([0.0, 1.0]), first=exact([1.0, 2.0]))
    assert measured["update_ratio"] == measured["update_ratio_raw"] == ALL_ZERO
    assert measured["distance_to_first"] == measured["cosine_to_first"] == ALL_ZERO
    assert measured["unmoved_share"] == 0.5
    assert measured["std_ratio_to_first"] == 0.0


def test_gains_and_biases_that_start_constant_have_no_ratio_to_their_first_spread() -> None:
    assert since(exact([1.1, 0.9]), None, first=exact([1.0, 1.0]))["std_ratio_to_first"] == (
        FIRST_ALL_EQUAL
    )
    assert since(exact([0.1, 0.2]), None, first=exact([0.0, 0.0]))["cosine_to_first"] == (
        FIRST_ALL_ZERO
    )
    assert since(exact([0.1] * 3), None, first=exact([0.1] * 3))["std_ratio_to_first"] == (
        FIRST_ALL_EQUAL
    )


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-160, 1.0, 1e160, 8e307])
def test_ratios_do_not_depend_on_the_size_of_the_weights(size: float) -> None:
    now, before = (np.array(v) * size for v in ([2.0, -2.0, 2.0], [1.0, -1.0, 2.0]))
    measured = since(exact(now, "float64"), exact(before, "float64"), steps=1)
    assert measured["update_ratio"] == pytest.approx(math.sqrt(2 / 12))
    assert measured["unmoved_share"] == pytest.approx(1 / 3)
