"""Looking for a parting from the end finds what looking at everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk_service.stats.parting import LEVELS, Course, Parted, compare_courses
from bifurk_service.stats.parting_search import OnsetSearch, are_apart, points_of

STD = list(LEVELS).index("std")

Booleans = st.lists(st.sampled_from([True, True, True, False]), max_size=12)


def whole(steps: list[int], this: list[float], other: list[float]) -> Parted | None:
    courses = []
    for values in (this, other):
        table = np.full((len(steps), len(LEVELS)), np.nan)
        table[:, STD] = values
        courses.append(Course(steps=np.array(steps, dtype=np.int64), values=table))
    return next(iter(compare_courses(*courses).parted), None)


def searched(
    steps: list[int], this: list[float], other: list[float], skippable: list[bool]
) -> tuple[int | None, bool]:
    """The step it says, and whether everything was seen; passes over what it may and should."""
    search, passed = OnsetSearch(), False
    backwards = np.array([steps, this, other], dtype=np.float64)[:, ::-1]
    points = list(points_of("std", backwards[0].astype(np.int64), *backwards[1:]))
    for point, skips in zip(points, skippable, strict=False):
        if not search.is_open:
            break
        if skips and point.is_apart and search.may_skip:
            passed = True
            search.skip(point.step)
        else:
            search.see(point)
    if search.is_open:
        search.reach_begin(steps[0] if steps else 0)
    if search.onset is None:
        return None, passed
    assert search.onset.exact
    if search.onset.is_it:
        return search.onset.nearest.step, passed
    later = [point.step for point in points if point.step >= search.onset.since]
    return min(later), passed


@given(apart=Booleans, skippable=st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_same_step_is_found_whatever_is_passed_over(
    apart: list[bool], skippable: list[bool]
) -> None:
    steps = list(range(0, 10 * len(apart), 10))
    this, other = [3.0 if far else 1.0 for far in apart], [1.0] * len(apart)
    expected = whole(steps, this, other)
    found, _ = searched(steps, this, other, skippable)
    assert found == (None if expected is None else expected.step)


def test_looking_that_ends_early_says_so() -> None:
    search = OnsetSearch()
    for point in points_of("std", np.arange(90, 40, -10), np.full(5, 3.0), np.ones(5)):
        search.see(point)
    search.skip(20)
    search.give_up()
    assert search.onset is not None
    assert (search.onset.since, search.onset.exact, search.onset.is_it) == (20, False, False)
    assert search.onset.nearest.step == 50


def test_looking_that_ends_before_three_steps_says_nothing() -> None:
    search = OnsetSearch()
    for point in points_of("std", np.array([90, 80]), np.full(2, 3.0), np.ones(2)):
        search.see(point)
    search.give_up()
    assert search.onset is None


def test_looking_that_ends_at_a_step_within_names_what_follows_it() -> None:
    search = OnsetSearch()
    this = np.array([3.0, 3.0, 3.0, 3.0, 1.0])
    for point in points_of("std", np.arange(90, 40, -10), this, np.ones(5)):
        search.see(point)
    search.give_up()
    assert search.onset is not None
    assert (search.onset.nearest.step, search.onset.exact) == (60, False)


@pytest.mark.parametrize(
    ("this", "other", "expected"),
    [
        ((3.0, 4.0), (1.0, 2.0), True),
        ((1.0, 4.0), (1.0, 2.0), False),
        ((2.1, 4.0), (1.0, 2.0), False),
        ((0.0, 0.0), (1.0, 2.0), True),
        ((0.0, 0.0), (0.0, 2.0), False),
        ((0.0, 1.0), (1.0, 2.0), False),
        ((np.nan, np.nan), (1.0, 2.0), False),
    ],
)
def test_extremes_prove_what_holds_of_all_between_them(
    this: tuple[float, float], other: tuple[float, float], expected: bool
) -> None:
    assert are_apart("std", np.array(this), np.array(other)) == expected
    assert are_apart("std", np.array(other), np.array(this)) == expected
