"""The run's own changes, held against onsets."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from bifurk_service.detect.schedule import Schedule, is_raise, lowers_severity
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Mark
from tests.detect.runs import marked


def _schedule(rates: list[float]) -> Schedule:
    schedule = Schedule()
    for clock, rate in zip(clocks(len(rates)), rates, strict=True):
        schedule.take(replace(clock, learning_rates=(1e-5, rate)))
    return schedule


def _change(ratio: float | None) -> Mark:
    return Mark(kind="learning_rate", step=10, details={"ratio": ratio})


def test_a_change_inside_the_onset_is_found_with_its_size() -> None:
    schedule = _schedule([1e-3] * 5 + [1e-2] * 5)
    (mark,) = schedule.explain(onset_first_step=50, onset_last_step=60)
    assert mark.step == 60
    assert mark.details == {"from": 1e-3, "to": 1e-2, "ratio": 10.0, "since_step": 50}


def test_a_change_elsewhere_is_not() -> None:
    schedule = _schedule([1e-3] * 5 + [1e-2] * 10)
    assert schedule.explain(onset_first_step=80, onset_last_step=90) == ()
    assert schedule.explain(onset_first_step=20, onset_last_step=30) == ()


def test_a_smooth_decay_explains_nothing() -> None:
    schedule = _schedule([1e-3 * 0.99**index for index in range(30)])
    assert schedule.explain(onset_first_step=100, onset_last_step=120) == ()


def test_a_rise_from_zero_has_no_ratio_and_is_a_raise() -> None:
    (mark,) = _schedule([0.0, 0.0, 1e-3]).explain(onset_first_step=20, onset_last_step=30)
    assert mark.details["ratio"] is None
    assert is_raise(mark)


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_a_rate_that_is_not_finite_is_no_change(rate: float) -> None:
    schedule = _schedule([1e-3, rate, rate, 1e-3])
    assert schedule.explain(onset_first_step=20, onset_last_step=40) == ()


def test_a_change_beside_a_rate_that_is_not_finite_is_found() -> None:
    schedule = Schedule()
    for clock, rate in zip(clocks(2), [1e-3, 1e-2], strict=True):
        schedule.take(replace(clock, learning_rates=(math.nan, rate)))
    (mark,) = schedule.explain(onset_first_step=20, onset_last_step=20)
    assert mark.details["ratio"] == 10.0


def test_a_raise_begins_at_one_and_a_half() -> None:
    assert is_raise(_change(1.5))
    assert not is_raise(_change(1.49))
    assert not is_raise(Mark(kind="evaluation", step=10))


def test_only_a_fall_that_accounts_for_the_change_lowers_the_severity() -> None:
    assert lowers_severity([_change(0.1)], [2.3, 1.0])
    assert not lowers_severity([_change(0.9)], [1.1])
    assert not lowers_severity([_change(1.2)], [0.1])
    assert not lowers_severity([_change(0.1), _change(10.0)], [0.1])
    assert not lowers_severity([_change(None)], [0.1])
    assert not lowers_severity([Mark(kind="evaluation", step=10)], [0.1])
    assert not lowers_severity([], [0.1])


def test_marks_of_the_run_are_found_but_checkpoints_explain_nothing() -> None:
    times = marked(5, "evaluation")(marked(5, "checkpoint", path="a")(clocks(10)))
    schedule = Schedule()
    for clock in times:
        schedule.take(clock)
    explained = schedule.explain(onset_first_step=50, onset_last_step=60)
    assert [mark.kind for mark in explained] == ["evaluation"]


def test_the_last_checkpoint_before_an_onset_is_found() -> None:
    times = marked(2, "checkpoint", path="a")(marked(6, "checkpoint", path="b")(clocks(10)))
    schedule = Schedule()
    for clock in times:
        schedule.take(clock)
    assert schedule.checkpoint_before(20) is None
    found = [schedule.checkpoint_before(step) for step in (30, 69, 70)]
    assert [mark and mark.details["path"] for mark in found] == ["a", "a", "b"]


def test_the_memory_survives_json() -> None:
    schedule, copy = _schedule([1e-3] * 5 + [1e-2]), Schedule()
    copy.restore(json.loads(json.dumps(schedule.as_json())))
    assert copy.as_json() == schedule.as_json()
    onset = {"onset_first_step": 50, "onset_last_step": 60}
    assert copy.explain(**onset) == schedule.explain(**onset)
