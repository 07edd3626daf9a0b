"""The run's own changes, held against onsets."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from bifurk_service.detect.rates import is_raise
from bifurk_service.detect.schedule import Schedule
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
    accounts_for = Schedule().accounts_for
    assert accounts_for([_change(0.1)], {"update_ratio": 2.3, "std": 1.0})
    assert not accounts_for([_change(0.9)], {"std": 1.1})
    assert not accounts_for([_change(1.2)], {"std": 0.1})
    assert not accounts_for([_change(0.1), _change(10.0)], {"std": 0.1})
    assert not accounts_for([_change(None)], {"std": 0.1})
    assert not accounts_for([Mark(kind="schedule", step=10)], {"std": 0.1})
    assert not accounts_for([], {"std": 0.1})


@pytest.mark.parametrize("kind", ["evaluation", "batch_size", "amp_scale", "warmup_end"])
def test_what_was_scheduled_accounts_for_what_it_did_before(kind: str) -> None:
    schedule = Schedule()
    first, second = (Mark(kind=kind, step=step) for step in (100, 200))
    assert not schedule.accounts_for([first], {"update_ratio": 0.5})
    schedule.remember([first], {"update_ratio": 0.5})
    assert not schedule.accounts_for([first], {"update_ratio": 0.5})
    assert schedule.accounts_for([second], {"update_ratio": 0.4})
    assert not schedule.accounts_for([second], {"update_ratio": 0.6})
    assert not schedule.accounts_for([second], {"update_ratio": 0.4, "std": 0.4})
    assert not schedule.accounts_for([_change(2.0), second], {"update_ratio": 0.4})


def test_what_a_raise_did_before_excuses_nothing() -> None:
    schedule = Schedule()
    schedule.remember([_change(2.0)], {"update_ratio": 3.0})
    fall = replace(_change(0.9), step=200)
    assert not schedule.accounts_for([fall], {"update_ratio": 2.0})


def test_jumps_at_neighbouring_snapshots_are_one() -> None:
    schedule = _schedule([1e-3, 1e-3, 2e-3, 4e-3, 4e-3, 2e-3])
    rise, fall = schedule.explain(onset_first_step=20, onset_last_step=60)
    assert rise.details == {"from": 1e-3, "to": 4e-3, "ratio": 4.0, "since_step": 20}
    assert (rise.step, fall.details["ratio"]) == (40, 0.5)


def test_a_smooth_schedule_tells_the_end_of_its_warm_up_and_no_more() -> None:
    warm_up = [1e-3 * (index + 20) / 40 for index in range(20)]
    decay = [1e-3 * 0.99**index for index in range(1, 100)]
    schedule = _schedule([*warm_up, 1e-3, *decay])
    (end,) = schedule.explain(onset_first_step=10, onset_last_step=1_200)
    assert (end.kind, end.step) == ("warmup_end", 220)
    assert end.details == {"from": 5e-4, "to": 1e-3, "ratio": 2.0, "since_step": 210}


def test_a_decay_that_follows_a_constant_rate_is_told_where_it_begins() -> None:
    schedule = _schedule([1e-3] * 10 + [1e-3 * 0.99**index for index in range(1, 50)])
    (start,) = schedule.explain(onset_first_step=10, onset_last_step=600)
    assert (start.kind, start.step, start.details["since_step"]) == ("decay_start", 110, 100)


def test_a_mark_that_tells_numbers_has_their_ratio() -> None:
    schedule = Schedule()
    for clock in marked(5, "batch_size", **{"from": 64, "to": 128})(clocks(10)):
        schedule.take(clock)
    (mark,) = schedule.explain(onset_first_step=50, onset_last_step=60)
    assert mark.details == {"from": 64, "to": 128, "ratio": 2.0, "since_step": 50}


def test_a_resume_is_told_and_ends_what_was_before() -> None:
    schedule = Schedule()
    for clock in marked(3, "evaluation")(marked(5, "resume")(clocks(10))):
        schedule.take(clock)
    explained = schedule.explain(onset_first_step=10, onset_last_step=90)
    assert [mark.kind for mark in explained] == ["resume"]


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
