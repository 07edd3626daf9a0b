"""A run held a few snapshots at a time, from what is remembered, is found as it is at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bifurk_service.detect.baseline_departures import (
    IN,
    Departure,
    HeldCourse,
    Outside,
    departures,
    outside,
)
from bifurk_service.detect.baseline_memory import remembered
from bifurk_service.detect.leaves_baseline import Found, baseline_alert
from bifurk_service.domain import Alert, TensorInfo
from bifurk_service.stats.baseline import RunCourse, around, last_known

LENGTH: Final = 70
COURSES: Final = 5
STEPS: Final = np.arange(0, 10 * LENGTH, 10)
LEAST_GOOD: Final = 3


def held_courses(seed: int) -> list[HeldCourse]:
    """Courses that leave and come back now and then, some with holes, against four good runs."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(COURSES):
        values = np.exp(0.05 * random.standard_normal(LENGTH))
        for _ in range(3):
            start, length = random.integers(0, LENGTH), random.integers(3, 30)
            values[start : start + length] *= random.choice([0.2, 3.0])
        values[random.random(LENGTH) < random.choice([0.0, 0.3])] = np.nan
        found.append(
            HeldCourse(
                group=f"h.*.{number}",
                statistic="std",
                log_scale=number % 2 == 0,
                tensors=(
                    TensorInfo(id=number, name=f"h.0.{number}", layer=0, role="up", shape=(2, 2)),
                ),
                values=values,
                good={f"good-{place}": good_course(random) for place in range(4)},
            )
        )
    return found


def good_course(random: np.random.Generator) -> RunCourse:
    every = int(random.choice([7, 10, 25]))
    steps = np.arange(int(random.integers(0, 60)), int(random.integers(400, 1_200)), every)
    values = np.exp(0.1 * random.standard_normal() + 0.02 * random.standard_normal(len(steps)))
    values[random.random(len(steps)) < 0.2] = random.choice([np.nan, -1.0])
    return RunCourse(steps=steps, values=values)


def between(courses: list[HeldCourse], first: int, stop: int, *, near: bool) -> list[HeldCourse]:
    """What is new of them, with the good runs around it where that is asked for."""
    ends = int(STEPS[first]), int(STEPS[stop - 1])
    return [
        replace(
            one,
            values=one.values[first:stop],
            good={
                name: around(good, *ends, log_scale=one.log_scale) if near else good
                for name, good in one.good.items()
            },
        )
        for one in courses
    ]


def newest(found: Outside, least: int, first: int = 0) -> Departure | None:
    every = departures(found, least=least, first=first)
    return every[-1] if every else None


def alert_of(
    courses: list[HeldCourse], found: Outside, departure: Departure | None, least: int
) -> Alert | None:
    if departure is None:
        return None
    whole = Found(
        baseline="steady",
        good={},
        least_good=LEAST_GOOD,
        held=courses,
        outside=found,
        departure=departure,
        needed=least,
        good_out={},
    )
    return baseline_alert("run", whole, sequence=1, checkpoint_before=lambda _step: None)


def over_at(found: Outside, departure: Departure | None) -> int | None:
    over = None if departure is None else departure.over
    return None if over is None else int(found.steps[over])


def left_at(found: Outside) -> list[int]:
    """The step at which each course has left that is outside at the end."""
    since = found.since[:, -1]
    return [IN if one == IN else int(found.steps[one]) for one in since]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.sets(st.integers(1, LENGTH - 1), max_size=8),
    least=st.integers(1, 4),
)
def test_from_what_is_remembered_comes_what_all_steps_tell(
    seed: int, cuts: set[int], least: int
) -> None:
    courses = held_courses(seed)
    before: tuple[Outside, Departure | None] | None = None
    start = 0
    for stop in [*sorted(cuts), LENGTH]:
        whole = outside(STEPS[:stop], between(courses, 0, stop, near=False), least_good=LEAST_GOOD)
        found = outside(
            STEPS[start:stop],
            between(courses, start, stop, near=True),
            least_good=LEAST_GOOD,
            earlier=None if before is None else before[0],
        )
        known = None if before is None else before[1]
        departure = newest(found, least, 0 if known is None else known.seen)
        expected = newest(whole, least)
        assert (found.told, left_at(found)) == (whole.told, left_at(whole))
        assert over_at(found, departure) == over_at(whole, expected)
        assert alert_of(courses, found, departure, least) == alert_of(
            courses, whole, expected, least
        )
        before, start = remembered(found, departure), stop


def test_little_is_remembered_of_a_long_run() -> None:
    steps = np.arange(5_000)
    values: NDArray[np.float64] = np.ones(len(steps))
    values[3_000:] = 9.0
    good = {
        f"good-{place}": RunCourse(steps=steps, values=np.full(len(steps), 1.0 + 0.1 * place))
        for place in range(5)
    }
    course = HeldCourse(
        group="h.*.w", statistic="std", log_scale=False, tensors=(), values=values, good=good
    )
    found = outside(steps, [course] * 3, least_good=LEAST_GOOD)
    less, departure = remembered(found, newest(found, 3))
    assert less.steps.tolist() == [2_999, 3_000, 3_004, *range(4_995, 5_000)]
    assert departure == Departure(seen=2, over=None, courses=(0, 1, 2))
    assert less.since[:, -1].tolist() == [1, 1, 1]
    assert (less.told, less.known.tolist()) == (3, [5_000] * 3)


@pytest.mark.parametrize("log_scale", [False, True])
def test_around_two_steps_is_what_the_line_between_them_hangs_on(log_scale: bool) -> None:
    values = np.full(100, np.nan)
    values[[10, 50, 52]] = 1.0
    values[[30, 60]] = -1.0
    course = RunCourse(steps=np.arange(0, 1_000, 10), values=values)
    near = around(course, 405, 505, log_scale=log_scale)
    assert (near.steps[0], near.steps[-1]) == (100 if log_scale else 300, 520)
    assert last_known(course, log_scale=log_scale) == (520 if log_scale else 600)
    assert len(around(course, 700, 800, log_scale=log_scale).steps) == (48 if log_scale else 40)
