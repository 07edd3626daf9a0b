"""What each of the smaller detectors sees, and what it lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect.collapsed import Collapsed
from bifurk_service.detect.frozen import Frozen
from bifurk_service.detect.mode_split import ModeSplit
from bifurk_service.detect.non_finite import NonFinite
from bifurk_service.detect.silent import is_silent, silence_limit_seconds, silent_alert
from bifurk_service.detect.streams import autoregressive, clocks
from bifurk_service.detect.turning_point import TurningPoint
from bifurk_service.domain import Mark, Severity
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import detections, marked

DIP, RANK, STD = BY_NAME["dip_ratio"], BY_NAME["stable_rank"], BY_NAME["std"]
UNMOVED, COUNT = BY_NAME["unmoved_share"], BY_NAME["nonfinite_count"]


def _column(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)[:, None]


def _rank(*, top: float, end: float, length: int = 200) -> NDArray[np.float64]:
    """Rises to ``top`` at the middle, then goes to ``end``, with noise of a thousandth."""
    half = length // 2
    course = np.concatenate([np.linspace(28, top, half), np.linspace(top, end, length - half)])
    noise = 1e-3 * np.random.default_rng(1).standard_normal(length)
    return _column(course * np.exp(noise))


def test_a_slow_fall_from_the_maximum_is_a_turning_point_once() -> None:
    ((index, found),) = detections(TurningPoint(RANK), _rank(top=30, end=24))
    assert found.details == {"direction": "fall"}
    assert 100 < index < 150
    assert found.before == pytest.approx(30, rel=0.01)
    assert found.onset_first_step <= 1010 <= found.onset_last_step + 50


def test_a_fall_of_less_than_five_percent_is_none() -> None:
    assert detections(TurningPoint(RANK), _rank(top=29, end=27.8)) == []


def test_a_fall_within_the_noise_is_none() -> None:
    noise = 0.05 * np.random.default_rng(2).standard_normal(300)
    assert detections(TurningPoint(RANK), _column(30 * np.exp(noise))) == []


def test_heavy_tails_are_no_turning_points() -> None:
    noise = 0.01 * np.random.default_rng(3).standard_t(3, (400, 40))
    assert detections(TurningPoint(RANK), 30 * np.exp(noise)) == []


def test_a_wild_value_is_no_extremum() -> None:
    values = np.full(200, 30.0)
    values[[60, 120, 121]] = 1e6
    assert detections(TurningPoint(RANK), _column(values)) == []


def test_noise_that_correlates_is_seen_to_be_wide() -> None:
    noise = 0.03 * autoregressive(np.random.default_rng(4), 40, 400, correlation=0.9)
    found = detections(TurningPoint(RANK), 30 * np.exp(noise))
    assert len({one.series for _, one in found}) < 20


def test_after_a_fall_the_next_turning_point_is_a_rise() -> None:
    down = np.linspace(30, 15, 120)
    values = _column(np.concatenate([np.full(40, 30.0), down, down[::-1]]))
    directions = [found.details["direction"] for _, found in detections(TurningPoint(RANK), values)]
    assert directions == ["fall", "rise"]


def test_what_only_goes_on_falling_takes_twice_the_change() -> None:
    course = 30 * np.exp(-np.linspace(0, 0.09, 200))
    assert detections(TurningPoint(RANK), _column(course)) == []
    assert len(detections(TurningPoint(RANK), _column(course**2))) == 1


def test_after_the_first_turn_a_turn_takes_twice_the_change() -> None:
    waves = 30 * np.exp(0.045 * np.sin(np.linspace(0, 8 * np.pi, 400)))
    assert len(detections(TurningPoint(RANK), _column(waves))) == 1


def test_what_falls_in_the_first_thirty_snapshots_only_is_no_turning_point() -> None:
    values = _column([*np.linspace(40, 20, 30), *np.full(100, 20.0)])
    assert detections(TurningPoint(RANK), values) == []


def test_a_density_that_splits_is_told_at_the_second_snapshot() -> None:
    ((index, found),) = detections(ModeSplit(DIP), _column([0.5] * 5 + [1.2, 1.3, 1.5, 1.6]))
    assert index == 6
    assert (found.onset_first_step, found.onset_last_step) == (50, 60)
    assert (found.before, found.after) == (0.5, 1.3)


def test_one_high_dip_is_no_split() -> None:
    assert detections(ModeSplit(DIP), _column([0.5, 1.4, 0.5, 1.4, 0.5] * 5)) == []


def test_several_modes_from_the_first_snapshot_on_are_no_split() -> None:
    assert detections(ModeSplit(DIP), _column([1.4] * 50)) == []


def test_a_split_counts_again_only_after_a_while_with_one_mode() -> None:
    flapping = [0.5, 1.2, 1.2, 0.9, 0.9, 1.2, 1.2, 0.9, 1.2, 1.2]
    assert len(detections(ModeSplit(DIP), _column(flapping))) == 1
    returned = [0.5, 1.2, 1.2, *[0.6] * 6, 1.2, 1.2]
    assert len(detections(ModeSplit(DIP), _column(returned))) == 2


def test_non_finite_values_are_told_when_they_appear_and_not_while_they_stay() -> None:
    found = detections(NonFinite(COUNT), _column([0, 0, 3, 4, 4, 0, 1]))
    assert [(index, one.after) for index, one in found] == [(2, 3.0), (6, 1.0)]
    assert (found[0][1].onset_first_step, found[0][1].onset_last_step) == (20, 30)


def test_non_finite_values_in_the_first_snapshot_are_told() -> None:
    ((index, found),) = detections(NonFinite(COUNT), _column([7, 7]))
    assert (index, found.onset_first_step, found.onset_last_step) == (0, 10, 10)


def test_weights_that_stop_are_frozen_after_six_snapshots() -> None:
    ((index, found),) = detections(Frozen(UNMOVED), _column([0.1] * 10 + [1.0] * 20))
    assert index == 15
    assert found.details["moved_before"] is True
    assert (found.onset_first_step, found.onset_last_step) == (100, 110)


def test_weights_that_never_moved_are_told_apart() -> None:
    ((_, found),) = detections(Frozen(UNMOVED), _column([1.0] * 20))
    assert found.details["moved_before"] is False


def test_a_learning_rate_of_zero_excuses_standing_still() -> None:
    times = [replace(clock, learning_rates=(0.0, 0.0)) for clock in clocks(30)]
    values = _column([0.1] * 10 + [1.0] * 20)
    assert detections(Frozen(UNMOVED), values, clock=times) == []


def test_one_element_that_moves_is_movement() -> None:
    assert detections(Frozen(UNMOVED), _column([0.1] * 10 + [0.9999] * 20)) == []


def test_a_spread_of_exactly_zero_is_a_collapse_at_once() -> None:
    ((index, found),) = detections(Collapsed(STD), _column([0.02] * 10 + [0.0] * 5))
    assert index == 10
    assert (found.before, found.after) == (0.02, 0.0)


def test_a_spread_below_a_thousandth_of_its_past_is_a_collapse() -> None:
    assert detections(Collapsed(STD), _column([0.02] * 10 + [2.1e-5] * 5)) == []
    assert len(detections(Collapsed(STD), _column([0.02] * 10 + [1.9e-5] * 5))) == 1


def test_a_tensor_that_starts_at_zero_has_not_collapsed() -> None:
    assert detections(Collapsed(STD), _column([0.0] * 20 + [0.01] * 20)) == []


def test_the_return_from_one_wild_snapshot_is_no_collapse() -> None:
    assert detections(Collapsed(STD), _column([0.02] * 10 + [1e6] + [0.02] * 10)) == []


@pytest.mark.parametrize(
    ("detector", "values"),
    [
        (Collapsed(STD), [0.02] * 10 + [0.0] * 10),
        (Frozen(UNMOVED), [0.1] * 8 + [1.0] * 7),
        (ModeSplit(DIP), [0.5] * 10 + [1.5] * 10),
    ],
)
def test_a_resume_begins_anew(
    detector: Collapsed | Frozen | ModeSplit, values: list[float]
) -> None:
    times = marked(10, "resume")(clocks(len(values)))
    assert detections(detector, _column(values), clock=times) == []


def test_silence_is_three_usual_intervals_and_never_under_ten_minutes() -> None:
    assert silence_limit_seconds(None) == 600
    assert silence_limit_seconds(1) == 600
    assert silence_limit_seconds(1_000) == 3_000
    assert not is_silent(seconds_since_last=3_000, usual_interval_seconds=1_000)
    assert is_silent(seconds_since_last=3_001, usual_interval_seconds=1_000)


@pytest.mark.parametrize("interval", [-1.0, float("nan")])
def test_an_impossible_interval_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="at least 0 seconds"):
        silence_limit_seconds(interval)


def test_the_alert_of_silence_word_by_word() -> None:
    alert = silent_alert(
        "gpt-small",
        last_step=1_400,
        last_sequence=140,
        seconds_since_last=1_860,
        usual_interval_seconds=45,
        checkpoint=Mark(kind="checkpoint", step=1_380, details={"path": "ckpt/1380.pt"}),
    )
    assert alert.severity is Severity.WARNING
    assert alert.sentence == (
        "gpt-small: no snapshot has come for 31 minutes; one usually comes every 45 s. "
        "The last was at step 1,400. Last checkpoint: step 1,380, ckpt/1380.pt."
    )
