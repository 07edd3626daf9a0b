"""The band of good runs: its width, and who leaves it when."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.baseline import (
    HOLD,
    LEAST_WIDTH,
    Band,
    RunCourse,
    at_steps,
    band_of,
    leaving,
)

STEPS = np.arange(0, 400, 10)


def good(*levels: float, steps: NDArray[np.int64] = STEPS) -> list[RunCourse]:
    return [RunCourse(steps=steps, values=np.full(len(steps), level)) for level in levels]


def band(*levels: float) -> Band:
    return band_of(STEPS, good(*levels), log_scale=False)


def walk(rng: np.random.Generator) -> RunCourse:
    """A course that drifts, as a statistic of a training does."""
    drift = rng.standard_normal() * np.linspace(0, 1, len(STEPS))
    wander = np.cumsum(rng.standard_normal(len(STEPS))) * 0.05
    return RunCourse(steps=STEPS, values=np.exp(0.1 * (drift + wander)))


def test_the_band_is_what_good_runs_span_and_as_far_again() -> None:
    found = band(1.0, 1.2, 1.5)
    for line, level in (
        (found.low, 1.0), (found.middle, 1.2), (found.high, 1.5),
        (found.least, 0.5), (found.most, 2.0),
    ):  # fmt: skip
        assert line == pytest.approx(np.full(len(STEPS), level))
    assert found.runs.tolist() == [3] * len(STEPS)


def test_on_a_logarithmic_scale_the_band_is_as_wide_as_a_factor() -> None:
    found = band_of(STEPS, good(1.0, 2.0, 4.0), log_scale=True)
    assert found.middle == pytest.approx(np.full(len(STEPS), 2.0))
    assert found.least == pytest.approx(np.full(len(STEPS), 0.25))
    assert found.most == pytest.approx(np.full(len(STEPS), 16.0))


def test_where_courses_cross_the_width_stays_what_it_was() -> None:
    falling = RunCourse(steps=STEPS, values=np.linspace(2, 0, len(STEPS)))
    found = band_of(STEPS, [*good(1.0, 1.0), falling], log_scale=False)
    crossing = int(np.argmin(found.high - found.low))
    assert found.high[crossing] - found.low[crossing] < 0.1
    assert found.most[crossing] == pytest.approx(found.high[crossing] + 1.0)


@pytest.mark.parametrize("log_scale", [False, True])
def test_equal_runs_have_a_hundredth_of_room(log_scale: bool) -> None:
    found = band_of(STEPS, good(4.0, 4.0, 4.0), log_scale=log_scale)
    assert found.most == pytest.approx(np.full(len(STEPS), 4.0 * (1 + LEAST_WIDTH)), rel=1e-4)
    assert leaving(found, np.full(len(STEPS), 4.03)) is None
    assert leaving(found, np.full(len(STEPS), 4.06)) is not None


def test_a_run_leaves_at_the_first_of_enough_snapshots_beyond_the_band() -> None:
    values = np.full(len(STEPS), 1.2)
    values[10] = 9.0
    values[20:] = 2.1
    left = leaving(band(1.0, 1.2, 1.5), values)
    assert left is not None
    assert (left.step, left.is_above, left.value) == (200, True, 2.1)
    assert (left.low, left.high, left.back) == (1.0, 1.5, None)


def test_a_run_may_come_back() -> None:
    values = np.full(len(STEPS), 1.2)
    values[8:20] = 0.3
    left = leaving(band(1.0, 1.2, 1.5), values)
    assert left is not None
    assert (left.step, left.is_above, left.back) == (80, False, 200)


def test_a_swing_from_one_side_to_the_other_is_not_one_departure() -> None:
    values = np.full(len(STEPS), 1.2)
    values[10 : 10 + HOLD - 1] = 9.0
    values[10 + HOLD - 1 : 10 + 2 * HOLD - 2] = -9.0
    assert leaving(band(1.0, 1.2, 1.5), values) is None


def test_snapshots_without_a_value_are_passed_over() -> None:
    values = np.full(len(STEPS), np.nan)
    values[::3] = 1.2
    values[21::3] = 2.1
    left = leaving(band(1.0, 1.2, 1.5), values)
    assert left is not None
    assert left.step == 210
    assert leaving(band(1.0, 1.2, 1.5), np.full(len(STEPS), np.nan)) is None


def test_two_good_runs_make_a_band_and_no_verdict() -> None:
    found = band(1.0, 1.2)
    assert np.isfinite(found.most).all()
    assert leaving(found, np.full(len(STEPS), 99.0)) is None


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_make_none(count: int) -> None:
    found = band_of(STEPS, good(1.0, 2.0)[:count], log_scale=False)
    assert np.isnan(found.middle).all()
    assert leaving(found, np.ones(len(STEPS))) is None


def test_a_good_run_counts_only_where_it_has_been_and_is_straight_between_snapshots() -> None:
    short = RunCourse(steps=np.array([50, 150]), values=np.array([1.0, 3.0]))
    found = band_of(STEPS, [short, *good(0.0)], log_scale=False)
    assert found.runs[STEPS == 40].tolist() == [1]
    assert found.high[STEPS == 100].tolist() == [2.0]
    assert np.isnan(found.high[STEPS == 160]).all()


def test_values_that_a_logarithm_does_not_take_count_as_none() -> None:
    values = np.ones(len(STEPS))
    values[:5] = 0.0
    found = band_of(STEPS, [RunCourse(steps=STEPS, values=values), *good(2.0)], log_scale=True)
    assert np.isnan(found.middle[:5]).all()
    assert np.isfinite(found.middle[5:]).all()


def test_no_steps_are_no_band() -> None:
    found = band_of(STEPS[:0], good(1.0, 2.0, 3.0), log_scale=True)
    assert len(found.middle) == 0
    assert leaving(found, np.zeros(0)) is None


def test_values_near_the_ends_of_float64_do_not_break_it() -> None:
    found = band_of(STEPS, good(1e-300, 1e300, 1.0), log_scale=True)
    assert np.isinf(found.most).all()
    assert leaving(found, np.full(len(STEPS), 1e308)) is None


def test_a_course_is_taken_at_its_own_steps_only() -> None:
    course = RunCourse(steps=np.array([10, 30]), values=np.array([1.0, 2.0]))
    assert at_steps(np.array([0, 10, 20, 30]), course)[[1, 3]].tolist() == [1.0, 2.0]
    assert np.isnan(at_steps(np.array([0, 20]), course)).all()


def test_a_run_like_the_good_ones_seldom_leaves_five_of_them() -> None:
    """Four hundred drifting courses of one law."""
    rng = np.random.default_rng(7)
    left = 0
    for _ in range(400):
        found = band_of(STEPS, [walk(rng) for _ in range(5)], log_scale=True)
        left += leaving(found, walk(rng).values) is not None
    assert left / 400 < 0.1
