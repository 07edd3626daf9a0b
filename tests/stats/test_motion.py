"""Motion statistics: exact, per step, and silent where there is nothing to compare."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.exact import STORAGE, Exact
from bifurk_service.stats.motion.motion_statistics import NO_PATHS, Compared, motion_statistics
from bifurk_service.stats.motion.moved_ratios import NONE_MOVED, ONE_SAMPLED
from bifurk_service.stats.motion.path_dips import path_dip_ratios
from bifurk_service.stats.motion.streamed_median import HELD, middle_values
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.value import (
    ALL_EQUAL,
    ALL_ZERO,
    EMPTY,
    FIRST_ALL_EQUAL,
    FIRST_ALL_ZERO,
    INCOMPARABLE,
    NO_EARLIER,
    NO_FINITE,
    NOT_SENT,
    NoValue,
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
    now: Exact,
    previous: Exact | None = None,
    *,
    first: Exact | None = None,
    steps: int | None = 1,
    size: int | None = None,
) -> dict[str, Value]:
    compared = [
        NO_EARLIER if then is None else Compared(now=now, then=then) for then in (previous, first)
    ]
    measured = motion_statistics(
        previous=compared[0],
        first=compared[1],
        size=now.data.size if size is None else size,
        steps_since_previous=steps,
    )
    return {**measured, "path_dip_ratio": path_dip_ratios(compared[1:])[0]}


def every_motion(now: Exact, previous: Exact, first: Exact, steps: int) -> dict[str, float]:
    """All of them by numpy, of finite weights all of which are compared."""
    return expected_motion(*(e.float64() for e in (now, previous, first)), steps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_motion_equals_numpy_on_the_exact_weights(dtype: str) -> None:
    first, previous, now = course(dtype)
    measured = since(now, previous, first=first, steps=20)
    assert set(measured) == set(names_of(Family.MOTION))
    assert measured == pytest.approx(every_motion(now, previous, first, 20), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_long_comparisons_in_chunks_equal_numpy_on_the_whole(dtype: str) -> None:
    size = 3 * HELD // 2 + 17
    rng = np.random.default_rng(11)
    first = 0.02 * rng.standard_normal(size)
    previous = first + 0.01 * rng.standard_normal(size)
    now = 0.999 * previous + 0.001 * rng.standard_normal(size)
    course = [exact(w.reshape(-1, 1), dtype) for w in (now, previous, first)]
    measured = since(course[0], course[1], first=course[2], steps=5)
    assert measured == pytest.approx(every_motion(*course, 5), rel=1e-12, abs=1e-15)


def test_the_spread_of_gains_far_from_zero_loses_no_digits() -> None:
    rng = np.random.default_rng(2)
    first = 1 + 1e-5 * rng.normal(size=300_000)
    now = exact(first + 1e-7 * rng.normal(size=first.size), "float64")
    measured = since(now, first=exact(first, "float64"))
    assert measured["std_ratio_to_first"] == pytest.approx(
        np.std(now.float64()) / np.std(first), rel=1e-12
    )
    assert measured["displacement_std"] == pytest.approx(np.std(now.float64() - first), rel=1e-12)


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


def test_bfloat16_copies_of_float32_weights_would_double_a_small_update_ratio() -> None:
    rng = np.random.default_rng(0)
    before = 0.02 * rng.normal(size=200_000)
    now = before + 0.02e-3 * rng.normal(size=before.size)
    exactly, copied = (
        since(exact(now, dtype), exact(before, dtype)) for dtype in ("float32", "bfloat16")
    )
    assert exactly["update_ratio"] == pytest.approx(1e-3, rel=0.01)
    assert copied["update_ratio"] == pytest.approx(1.9e-3, rel=0.03)
    assert number(copied["unmoved_share"]) > 0.6


def test_mirrored_weights_move_as_their_images_do() -> None:
    first, previous, now = course("float32")
    mirrored = [exact(-w.float64()) for w in (now, previous, first)]
    assert since(mirrored[0], mirrored[1], first=mirrored[2], size=9_999) == since(
        now, previous, first=first, size=9_999
    )


def test_the_first_snapshot_has_nothing_to_compare_with() -> None:
    assert set(since(exact([1.0, 2.0]), steps=None).values()) == {NO_EARLIER}


def test_without_a_trace_nothing_is_known() -> None:
    measured = motion_statistics(previous=NOT_SENT, first=NOT_SENT, size=9, steps_since_previous=1)
    assert set(measured.values()) == {NOT_SENT}


@pytest.mark.parametrize("steps", [None, 0])
def test_without_a_number_of_steps_only_the_raw_ratio_is_known(steps: int | None) -> None:
    measured = since(exact([2.0, 2.0]), exact([1.0, 1.0]), steps=steps)
    assert measured["update_ratio"] == NO_EARLIER
    assert measured["update_ratio_stderr"] == measured["path_flow"] == NO_EARLIER
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
    assert measured["path_flow"] == NO_PATHS


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


def test_gains_that_started_constant_have_no_paths_to_measure_by() -> None:
    measured = since(exact([1.1, 0.9]), first=exact([1.0, 1.0]))
    assert measured["dying_share"] == measured["growing_share"] == FIRST_ALL_EQUAL
    assert measured["displacement_std"] == pytest.approx(0.1)


def test_half_the_weights_decaying_die_and_the_median_path_shrinks() -> None:
    first = weights("gaussian", SIZE)
    decayed = np.where(np.arange(SIZE) < 0.6 * SIZE, 0.01 * first, first)
    measured = since(exact(decayed), exact(first), first=exact(first), steps=4)
    assert measured["path_flow"] == pytest.approx(math.log(0.01) / 2, rel=1e-5)
    assert measured["dying_share"] == pytest.approx(0.6 + 0.4 * 0.0399, abs=0.01)
    assert measured["growing_share"] == pytest.approx(0.4 * 0.0027, abs=0.002)


@pytest.mark.parametrize("dtype", DTYPES)
def test_paths_that_part_have_two_modes_and_those_of_a_gaussian_one(dtype: str) -> None:
    first = weights("gaussian", SIZE)
    parted = np.where(np.arange(SIZE) % 2, first, first / 30)
    for now, low, high in ((first, 0.1, 0.8), (0.01 * first, 0.1, 0.8), (parted, 3.0, 10.0)):
        ratio = number(since(exact(now, dtype), first=exact(first, dtype))["path_dip_ratio"])
        assert low < ratio < high


def test_paths_of_many_tensors_at_once_are_each_tensor_alone() -> None:
    firsts = [exact(weights("laplace", size), "bfloat16") for size in (5, 300, 4_096, 9_000)]
    compared = [Compared(now=one, then=one) for one in firsts]
    together = path_dip_ratios([compared[0], NOT_SENT, *compared[1:]])
    alone = [path_dip_ratios([one])[0] for one in compared]
    assert together == [alone[0], NOT_SENT, *alone[1:]]


def test_paths_that_are_exactly_zero_are_left_out() -> None:
    first = weights("gaussian", SIZE)
    pruned = np.where(np.arange(SIZE) % 2, first, 0.0)
    measured = since(exact(pruned), first=exact(first))["path_dip_ratio"]
    assert measured == since(exact(pruned[1::2]), first=exact(first[1::2]))["path_dip_ratio"]
    assert since(exact([0.0, 0.0]), first=exact([1.0, 2.0]))["path_dip_ratio"] == ALL_ZERO


def test_signs_are_compared_even_where_products_underflow() -> None:
    now, before = exact([1e-300, -1e-300, 0.0], "float64"), exact([-1e-300] * 3, "float64")
    assert since(now, before)["sign_flip_share"] == pytest.approx(1 / 3)


def sampled(
    now: NDArray[np.float64], first: NDArray[np.float64], at: NDArray[np.int64]
) -> dict[str, Value]:
    return motion_of_sample(exact(now[at], "float64"), exact(first[at], "float64"), size=now.size)


def motion_of_sample(now: Exact, then: Exact, *, size: int) -> dict[str, Value]:
    """What depends on the size of the whole: all but the dip of the paths."""
    compared = Compared(now=now, then=then)
    return motion_statistics(previous=compared, first=compared, size=size, steps_since_previous=2)


RATIOS = ("update_ratio", "distance_to_first", "cosine_to_first", "std_ratio_to_first")


@pytest.mark.parametrize(
    ("law", "share"), [("gaussian", 0.05), ("laplace", 0.05), ("gaussian", 0.6)]
)
def test_the_mean_standard_error_is_the_actual_spread_over_samples(law: str, share: float) -> None:
    rng = np.random.default_rng(5)
    size = 8_000
    first = weights(law, size)
    now = 1.1 * first + 0.3 * 0.02 * rng.normal(size=size) + 0.2 * np.abs(first)
    drawn = [
        sampled(now, first, rng.choice(size, int(share * size), replace=False)) for _ in range(800)
    ]
    for name in RATIOS:
        spread = np.std([number(one[name]) for one in drawn], ddof=1)
        told = np.mean([number(one[f"{name}_stderr"]) for one in drawn])
        assert told == pytest.approx(spread, rel=0.15), name


def test_a_stratified_sample_of_unordered_weights_errs_as_told() -> None:
    size, taken = 40_000, 1_000
    rng = np.random.default_rng(8)
    first = weights("gaussian", size)
    now = first + 0.005 * rng.normal(size=size)
    starts = np.arange(taken) * (size // taken)
    drawn = [
        sampled(now, first, starts + rng.integers(0, size // taken, taken)) for _ in range(500)
    ]
    for name in RATIOS:
        spread = np.std([number(one[name]) for one in drawn], ddof=1)
        told = np.mean([number(one[f"{name}_stderr"]) for one in drawn])
        assert told == pytest.approx(spread, rel=0.15), name


def test_a_sample_that_is_nearly_everything_hardly_errs() -> None:
    first, _, now = course("float64")
    nearly = since(now, first=first, size=SIZE + 1)
    half = since(now, first=first, size=2 * SIZE)
    ratio = number(nearly["distance_to_first_stderr"]) / number(half["distance_to_first_stderr"])
    assert ratio == pytest.approx(math.sqrt(2 / (SIZE + 1)), rel=1e-9)


def test_a_sample_that_shows_nothing_has_no_standard_error() -> None:
    standing = since(exact([1.0, 2.0]), exact([1.0, 2.0]), first=exact([1.0, 2.0]), size=10)
    assert standing["update_ratio"] == 0.0
    assert standing["update_ratio_stderr"] == standing["distance_to_first_stderr"] == NONE_MOVED
    alone = since(exact([1.0]), exact([2.0]), first=exact([2.0]), size=10)
    assert alone["update_ratio_stderr"] == alone["cosine_to_first_stderr"] == ONE_SAMPLED
    levelled = since(exact([1.0, 1.0]), first=exact([1.0, 2.0]), size=10)
    assert levelled["std_ratio_to_first_stderr"] == ALL_EQUAL


@pytest.mark.parametrize("size", [1, 2, 31, HELD + 1, HELD + 70_000])
@pytest.mark.parametrize("law", ["gaussian", "mostly zero", "sorted"])
def test_the_median_of_a_long_stream_is_exact(size: int, law: str) -> None:
    values = np.sort(weights("gaussian", size)) if law == "sorted" else weights(law, size)
    chunks = [values[start : start + 10_007] for start in range(0, size, 10_007)]
    ordered = np.sort(values)
    expected = ordered[(size - 1) // 2], ordered[size // 2]
    assert middle_values(lambda: chunks, size=size) == expected


def test_an_unlucky_order_costs_memory_and_not_exactness() -> None:
    size = 20 * HELD // 10
    values = np.arange(size, dtype=np.float64)
    values[:: size // 65_536] = -1.0
    expected = np.sort(values)[[(size - 1) // 2, size // 2]]
    assert middle_values(lambda: [values], size=size) == tuple(expected)


BITS = {"bfloat16": np.uint16, "float16": np.uint16, "float32": np.uint32, "float64": np.uint64}


@pytest.mark.parametrize("dtype", DTYPES)
def test_whatever_the_bits_are_every_statistic_is_finite_or_says_why(dtype: str) -> None:
    rng = np.random.default_rng(6)
    most = np.iinfo(BITS[dtype]).max
    for size in rng.integers(0, 12, size=300).tolist():
        drawn = (
            rng.integers(0, most, size, dtype=BITS[dtype], endpoint=True) for _ in ("now", "then")
        )
        now, then = (Exact(dtype=dtype, data=bits.view(STORAGE[dtype])) for bits in drawn)
        for measured in (
            since(now, then, first=then, size=size, steps=2),
            motion_of_sample(now, then, size=size + 5),
        ):
            assert set(measured) | {"path_dip_ratio"} == set(names_of(Family.MOTION))
            assert all(isinstance(v, NoValue) or math.isfinite(v) for v in measured.values())
