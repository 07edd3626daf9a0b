"""Where two runs part: found where it was put, and not where there is only noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.parting import HOLD, LEVELS, Course, compare_courses, difference

STEPS = np.arange(0, 400, 10, dtype=np.int64)
STD = list(LEVELS).index("std")
UPDATE_RATIO = list(LEVELS).index("update_ratio")


def course(steps: NDArray[np.int64] = STEPS, seed: int | None = None) -> Course:
    """Statistics that stand still, or that wander by a hundredth."""
    values = np.tile([0.0, 0.02, 0.02, 1e-3, 20.0, 0.1], (steps.size, 1))
    if seed is not None:
        values[:, 1:] *= 1 + 0.01 * np.random.default_rng(seed).standard_normal(values[:, 1:].shape)
    return Course(steps=steps, values=values)


def changed(base: Course, column: int, first: int, factor: float, last: int = 10**9) -> Course:
    """The same with one statistic multiplied from one step to another, both included."""
    values = base.values.copy()
    values[(base.steps >= first) & (base.steps <= last), column] *= factor
    return Course(steps=base.steps, values=values)


def test_the_same_course_does_not_differ() -> None:
    found = compare_courses(course(seed=1), course(seed=1))
    assert (found.common, found.first, found.last) == (40, 0, 390)
    assert (found.first_difference, found.parted) == (None, ())


def test_noise_differs_and_does_not_part() -> None:
    found = compare_courses(course(seed=1), course(seed=2))
    assert found.first_difference == 0
    assert found.parted == ()


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 1.3])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_lasting_change_is_found_at_its_step(factor: float, seed: int | None) -> None:
    sound = course(seed=seed)
    [parted] = compare_courses(changed(sound, STD, 180, factor), sound).parted
    assert (parted.statistic, parted.step) == ("std", 180)
    assert parted.this / parted.other == pytest.approx(factor)


def test_one_bad_snapshot_does_not_part_them_nor_bring_them_together() -> None:
    sound = course()
    spike = changed(sound, STD, 180, 3.0, last=180)
    assert compare_courses(spike, sound).parted == ()
    dip = changed(changed(sound, STD, 180, 3.0), STD, 250, 1 / 3, last=250)
    assert compare_courses(dip, sound).parted[0].step == 180


def test_what_comes_back_together_has_not_parted() -> None:
    sound = course()
    assert compare_courses(changed(sound, STD, 180, 3.0, last=300), sound).parted == ()


def test_the_last_snapshots_alone_are_too_few() -> None:
    sound = course()
    last = int(STEPS[-HOLD + 1])
    assert compare_courses(changed(sound, STD, last, 3.0), sound).parted == ()
    assert compare_courses(changed(sound, STD, last - 10, 3.0), sound).parted != ()


def test_the_earliest_statistic_comes_first() -> None:
    sound = course()
    other = changed(changed(sound, UPDATE_RATIO, 100, 10.0), STD, 150, 2.0)
    assert [one.statistic for one in compare_courses(other, sound).parted] == [
        "update_ratio",
        "std",
    ]


def test_only_steps_that_both_have_count() -> None:
    sound = course()
    odd = course(np.arange(5, 400, 15, dtype=np.int64))
    found = compare_courses(changed(odd, STD, 200, 3.0), sound)
    assert found.common == len(set(odd.steps.tolist()) & set(STEPS.tolist()))
    assert found.parted[0].step == 200
    alone = compare_courses(course(STEPS + 1), sound)
    assert (alone.common, alone.first, alone.parted) == (0, None, ())


def test_one_common_step_is_enough_to_be_apart_at() -> None:
    one = course(STEPS[:1])
    assert compare_courses(changed(one, STD, 0, 3.0), course()).parted[0].step == 0


def test_steps_without_a_value_are_passed_over() -> None:
    sound, holes = course(), changed(course(), STD, 180, 3.0)
    holes.values[5:25:2] = np.nan
    assert compare_courses(holes, sound).parted[0].step == 180
    nothing = Course(steps=STEPS, values=np.full((STEPS.size, len(LEVELS)), np.nan))
    found = compare_courses(nothing, sound)
    assert (found.first_difference, found.parted) == (None, ())


def test_differences_are_symmetric_and_know_zero() -> None:
    a, b = np.array([0.0, 0.0, 2.0]), np.array([0.0, 1.0, 1.0])
    assert difference("std", a, b).tolist() == [0.0, math.inf, math.log(2)]
    assert difference("std", b, a).tolist() == [0.0, math.inf, math.log(2)]
    assert difference("excess_kurtosis", a, b).tolist() == [0.0, 1.0, 1.0]
