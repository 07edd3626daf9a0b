"""Which courses are outside, when it is the run's, how often by chance, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect.baseline_departures import (
    IN,
    LEAST_COURSES,
    LEAST_SHARE,
    MARGINS,
    Departure,
    HeldCourse,
    Outside,
    departures,
    joined,
    most_of_good,
    outside,
    required,
)
from bifurk_service.detect.leaves_baseline import Found, baseline_alert, fingerprint_of
from bifurk_service.domain import Alert, Mark, TensorInfo
from bifurk_service.stats.baseline import HOLD, RunCourse

STEPS = np.arange(0, 400, 10)
LEVELS = (1.0, 1.1, 1.2, 1.3, 1.4)


def course(
    values: NDArray[np.float64],
    *levels: float,
    group: str = "h.*.mlp.weight",
    statistic: str = "std",
    log_scale: bool = False,
) -> HeldCourse:
    """Held against good runs that stay where they are."""
    return HeldCourse(
        group=group,
        statistic=statistic,
        log_scale=log_scale,
        tensors=tuple(
            TensorInfo(id=layer, name=group.replace("*", str(layer)), layer=layer, role="mlp.up",
                       shape=(4, 4))
            for layer in range(2)
        ),
        values=values,
        good={
            f"good-{place}": RunCourse(steps=STEPS, values=np.full(len(STEPS), level))
            for place, level in enumerate(levels or LEVELS)
        },
    )  # fmt: skip


def stays(level: float = 1.2) -> NDArray[np.float64]:
    return np.full(len(STEPS), level)


def leaves(at: int, *, back: int | None = None, to: float = 9.0) -> NDArray[np.float64]:
    values = stays()
    values[at:back] = to
    return values


def held(*courses: HeldCourse, least_good: int = 5) -> Outside:
    return outside(STEPS, courses, least_good=least_good)


def test_a_course_is_outside_from_the_fifth_value_on_and_since_the_first() -> None:
    since = held(course(leaves(10, back=20))).since[0]
    assert (since[: 10 + HOLD - 1] == IN).all()
    assert (since[10 + HOLD - 1 : 20 + HOLD - 1] == 10).all()
    assert (since[20 + HOLD - 1 :] == IN).all()


@pytest.mark.parametrize(("count", "margin"), [(3, 5.0), (4, 3.0), (5, 2.0), (8, 1.25), (20, 1.0)])
def test_it_may_be_further_out_the_fewer_good_runs_there_are(count: int, margin: float) -> None:
    levels = [1.0, *[1.1] * (count - 2), 1.2]
    for over, is_out in ((0.99, False), (1.01, True)):
        values = leaves(10, to=1.2 + 0.2 * margin * over)
        found = held(course(values, *levels), least_good=3)
        assert (found.most == 1) is is_out, (count, over)
    assert list(MARGINS) == sorted(MARGINS)


def test_on_the_other_side_it_is_still_outside() -> None:
    values = leaves(10)
    values[20:] = -9.0
    assert (held(course(values)).since[0][14:] == 10).all()


def test_without_values_nothing_changes_and_without_enough_good_runs_nothing_is_told() -> None:
    values = leaves(10)
    values[16:] = np.nan
    assert (held(course(values)).since[0][14:] == 10).all()
    few = held(course(leaves(10)), least_good=6)
    assert (few.told, few.most) == (0, 0)


def test_hostile_values_tell_nothing() -> None:
    for value in (np.nan, np.inf, -np.inf):
        assert held(course(stays(value), log_scale=True)).most == 0
    short = outside(STEPS[:3], [course(stays()[:3])], least_good=3)
    assert short.since.shape == (1, 3)
    nothing = outside(STEPS[:0], [], least_good=3)
    assert departures(nothing, least=1) == []
    with pytest.raises(ValueError, match="at least one part"):
        joined([])


def test_a_departure_begins_with_enough_and_is_over_when_most_are_back() -> None:
    found = held(
        course(leaves(5, back=30)), course(leaves(10, back=30)), course(leaves(20)), course(stays())
    )
    assert departures(found, least=4) == []
    [one] = departures(found, least=3)
    assert (one.seen, one.over, one.courses) == (24, None, (0, 1, 2))
    [other] = departures(found, least=2)
    assert (other.seen, other.over) == (14, None)
    back = held(*[course(leaves(5, back=20)) for _ in range(4)])
    assert departures(back, least=3) == [Departure(seen=9, over=24, courses=(0, 1, 2, 3))]


def test_a_run_may_leave_more_than_once() -> None:
    values = leaves(5, back=12)
    values[25:] = 9.0
    found = held(*[course(values)] * 3)
    assert [(one.seen, one.over) for one in departures(found, least=3)] == [(9, 16), (29, None)]


def test_what_is_required_is_a_share_a_few_and_more_than_any_good_run_does() -> None:
    assert [required(told, {}) for told in (0, 1, 2, 3, 20, 41, 150)] == [1, 1, 2, 3, 3, 5, 15]
    assert (LEAST_SHARE, LEAST_COURSES) == (0.1, 3)
    assert required(150, {"a": 3, "b": 40}) == 41


def test_good_runs_are_held_against_one_another() -> None:
    courses = [course(stays(), 1.0, 1.01, 1.02, 1.03, 9.0) for _ in range(4)]
    assert most_of_good(courses) == {f"good-{n}": 4 * (n == 4) for n in range(5)}
    assert most_of_good([course(stays(), 1.0, 1.1, 1.2)]) == {}


def test_held_in_parts_is_the_same_as_held_at_once() -> None:
    courses = [course(leaves(place)) for place in range(5, 12)]
    parts = joined([held(*courses[:3]), held(*courses[3:])])
    whole = held(*courses)
    np.testing.assert_array_equal(parts.since, whole.since)
    assert (parts.told, len(parts.bands)) == (whole.told, 7)


def found_of(*courses: HeldCourse, least: int = 3) -> Found:
    whole = held(*courses)
    every = departures(whole, least=least)
    return Found(
        baseline="steady",
        good={f"good-{place}": 10 + place for place in range(5)},
        least_good=5,
        held=courses,
        outside=whole,
        departure=every[-1] if every else None,
        needed=least,
        good_out={},
    )


def alert_of(found: Found, *, sequence: int, checkpoint: Mark | None = None) -> Alert:
    return baseline_alert(
        "run", found, sequence=sequence, checkpoint_before=lambda _step: checkpoint
    )


def test_an_alert_says_what_left_where_from_and_since_when() -> None:
    courses = [
        course(leaves(10), group="h.*.a.weight"),
        course(leaves(12), group="h.*.b.weight", log_scale=True),
        course(leaves(8), group="h.*.b.weight", statistic="update_ratio"),
        course(stays(), group="h.*.c.weight"),
    ]
    alert = alert_of(found_of(*courses), sequence=16)
    assert alert.sentence == (
        "run: 3 of 4 courses left the band of 5 good runs (steady), in weight updates and the "
        "spread of the weights. The spread of the weights of h.*.a.weight was 9 where theirs went "
        "from 1 to 1.4. Most began between steps 70 and 80, seen at 160."
    )
    assert (alert.detected_step, alert.detected_sequence) == (160, 16)
    assert (alert.before, alert.after, alert.score) == (1.4, 9.0, 1.0)
    assert [(one.tensor.name, one.onset_last_step) for one in alert.tensors] == [
        ("h.0.b.weight", 80), ("h.1.b.weight", 80), ("h.0.a.weight", 100), ("h.1.a.weight", 100),
    ]  # fmt: skip
    assert alert.tensors[0].statistics == ("update_ratio", "std")
    assert alert.tensors[0].first_statistic == "update_ratio"
    assert all(one.score > 1 for one in alert.tensors)
    assert [one["group"] for one in alert.evidence["courses"]] == [
        "h.*.b.weight", "h.*.a.weight", "h.*.b.weight",
    ]  # fmt: skip


def test_a_fall_is_measured_from_the_lower_edge() -> None:
    alert = alert_of(found_of(*[course(leaves(10, to=-3.0))] * 3), sequence=14)
    assert (alert.before, alert.after) == (1.0, -3.0)
    assert alert.tensors[0].score == pytest.approx(5.0)


def test_it_names_the_checkpoint_before_it_began() -> None:
    asked = []

    def before(step: int) -> Mark:
        asked.append(step)
        return Mark(kind="checkpoint", step=80, details={"path": "80.pt"})

    found = found_of(*[course(leaves(10))] * 3)
    alert = baseline_alert("run", found, sequence=14, checkpoint_before=before)
    assert asked == [90]
    assert alert.checkpoint is not None
    assert alert.sentence.endswith("seen at 140. Last checkpoint before: step 80, 80.pt.")


def test_it_is_known_by_run_and_baseline_alone() -> None:
    early, late = (alert_of(found_of(*[course(leaves(at))] * 3), sequence=at) for at in (8, 20))
    assert early.fingerprint == late.fingerprint == fingerprint_of("run", "steady")
    assert fingerprint_of("run", "other") != early.fingerprint != fingerprint_of("r", "steady")


def test_without_a_departure_there_is_no_alert() -> None:
    with pytest.raises(ValueError, match="has not left"):
        alert_of(found_of(*[course(stays())] * 3), sequence=0)


def test_a_run_like_five_good_ones_is_seldom_told_of_whatever_its_courses_share() -> None:
    """Thirty courses of twenty runs a share, as ``benchmarks/leaves_baseline.py`` draws 150."""
    told = 0
    for seed in range(20_000, 20_020):
        rng = np.random.default_rng(seed)
        for shared in (0.0, 0.9):
            runs = [_drifting(rng, shared) for _ in range(6)]
            courses = [
                HeldCourse(
                    group=str(place), statistic="std", log_scale=False, tensors=(),
                    values=runs[5][place],
                    good={str(n): RunCourse(steps=STEPS, values=runs[n][place]) for n in range(5)},
                )
                for place in range(30)
            ]  # fmt: skip
            found = outside(STEPS, courses, least_good=5)
            told += bool(departures(found, least=required(found.told, most_of_good(courses))))
    assert told <= 2


def _drifting(rng: np.random.Generator, shared: float) -> NDArray[np.float64]:
    drifts = np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(30)
    wander = 0.05 * np.cumsum(rng.standard_normal((30, len(STEPS))), axis=1)
    return drifts[:, None] * np.linspace(0, 1, len(STEPS)) + wander
