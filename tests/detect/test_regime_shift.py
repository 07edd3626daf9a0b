"""``regime_shift``: restarts, natures and degenerate series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect.regime_shift import RegimeShift
from bifurk_service.detect.streams import autoregressive, clocks
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import BY_NAME, Nature
from tests.detect.runs import detections, marked

SERIES = 20


def _motion(length: int, *, seed: int = 1) -> NDArray[np.float64]:
    noise = autoregressive(np.random.default_rng(seed), SERIES, length, correlation=0.5)
    return np.exp(-6 + 0.1 * noise)


def _grid(length: int, *, doubled_at: int) -> list[Clock]:
    times, step = [], 0
    for sequence in range(length):
        step += 10 if sequence < doubled_at else 20
        times.append(Clock(sequence=sequence, step=step, previous_step=None))
    return times


def test_motion_begins_anew_where_the_interval_changes() -> None:
    values = _motion(130)
    values[100:] *= 3
    detector = RegimeShift(BY_NAME["update_ratio"])
    assert detections(detector, values, clock=_grid(130, doubled_at=100)) == []


def test_motion_begins_anew_at_an_interval_mark() -> None:
    values = _motion(130)
    values[100:] *= 3
    times = marked(100, "interval", steps=20)(clocks(130))
    assert detections(RegimeShift(BY_NAME["update_ratio"]), values, clock=times) == []


def test_without_such_a_change_the_same_motion_is_a_shift() -> None:
    values = _motion(130)
    values[100:] *= 3
    found = detections(RegimeShift(BY_NAME["update_ratio"]), values)
    assert {one.series for _, one in found} == set(range(SERIES))


def test_lost_snapshots_are_no_change_of_the_interval() -> None:
    values = _motion(130)
    values[100:] *= 3
    kept = [index for index in range(130) if index not in (95, 96, 97)]
    times = [clocks(130)[index] for index in kept]
    found = detections(RegimeShift(BY_NAME["update_ratio"]), values[kept], clock=times)
    assert {one.series for _, one in found} == set(range(SERIES))


def test_an_integrated_statistic_keeps_its_past_across_an_interval_change() -> None:
    time = np.array([clock.step for clock in _grid(130, doubled_at=80)])[:, None]
    noise = 0.0005 * np.random.default_rng(2).standard_normal((130, SERIES))
    values = np.exp(0.0002 * time + noise)
    values[100:] *= 3
    detector = RegimeShift(BY_NAME["std"])
    found = detections(detector, values, clock=_grid(130, doubled_at=80))
    assert {index for index, _ in found} == {101}


@pytest.mark.parametrize("statistic", ["std", "update_ratio", "excess_kurtosis"])
def test_a_resume_begins_everything_anew(statistic: str) -> None:
    values = _motion(130)
    values[100:] *= 3
    times = marked(100, "resume")(clocks(130))
    assert detections(RegimeShift(BY_NAME[statistic]), values, clock=times) == []


def test_a_random_walk_alarms_on_levels_and_not_when_declared_integrated() -> None:
    walk = np.cumsum(np.random.default_rng(3).standard_normal((400, 40)), axis=0)
    kurtosis = BY_NAME["excess_kurtosis"]
    as_levels = replace(kurtosis, nature=Nature.STATIONARY)
    naive = detections(RegimeShift(as_levels), walk)
    assert len({found.series for _, found in naive}) >= 2
    assert detections(RegimeShift(kurtosis), walk) == []


def test_a_change_too_small_to_tell_is_not_told() -> None:
    noise = 1e-6 * np.random.default_rng(4).standard_normal((120, SERIES))
    values = np.exp(noise)
    values[90:] *= 1.04
    assert detections(RegimeShift(BY_NAME["std"]), values) == []
    values[90:] *= 1.04
    assert len(detections(RegimeShift(BY_NAME["std"]), values)) == SERIES


def test_an_exact_line_has_no_noise_and_no_shift() -> None:
    values = np.linspace(1, 2, 120)[:, None] * np.ones(SERIES)
    assert detections(RegimeShift(BY_NAME["excess_kurtosis"]), values) == []


def test_before_and_after_are_the_statistics_own_values() -> None:
    noise = 1e-4 * np.random.default_rng(5).standard_normal((120, 1))
    values = 0.02 * np.exp(noise)
    values[90:] *= 3
    ((_, found),) = detections(RegimeShift(BY_NAME["std"]), values)
    assert found.before == pytest.approx(0.02, rel=1e-3)
    assert found.after == pytest.approx(0.06, rel=1e-3)


def test_a_value_that_is_not_positive_has_no_logarithm_and_is_left_out() -> None:
    values = _motion(130)
    values[50:55] = 0.0
    values[55:58] = -1.0
    assert detections(RegimeShift(BY_NAME["update_ratio"]), values) == []


def _client_grid(length: int, *, every: int) -> list[Clock]:
    """Steps 0, 1, 2, 4, ... below ``every``, then its multiples."""
    steps = [0, *(1 << power for power in range((every - 1).bit_length()))]
    steps += [every * (index + 1) for index in range(length - len(steps))]
    return [
        Clock(sequence=index, step=step, previous_step=None) for index, step in enumerate(steps)
    ]


def _relaxing_norm(times: list[Clock], *, seed: int) -> NDArray[np.float64]:
    """A norm that grows with the logarithm of the step, walks a little, and is a little noisy."""
    random = np.random.default_rng(seed)
    step = np.array([clock.step for clock in times], dtype=np.float64)[:, None]
    shape = (len(times), SERIES)
    walk = np.cumsum(0.001 * random.standard_normal(shape), axis=0)
    growth = random.uniform(-0.1, 0.1, SERIES) * np.log1p(step / 50)
    return np.exp(growth + walk + 0.0005 * random.standard_normal(shape))


@pytest.mark.parametrize("every", [10, 100, 1000])
def test_a_norm_that_follows_the_logarithm_of_the_step_is_left_in_peace(every: int) -> None:
    times = _client_grid(60, every=every)
    values = _relaxing_norm(times, seed=6)
    assert detections(RegimeShift(BY_NAME["std"]), values, clock=times) == []


@pytest.mark.parametrize("onset", [25, 40])
def test_a_doubling_in_the_first_sixty_snapshots_is_seen_within_three(onset: int) -> None:
    times = _client_grid(60, every=100)
    values = _relaxing_norm(times, seed=7)
    values[onset:] *= 2
    found = detections(RegimeShift(BY_NAME["std"]), values, clock=times)
    seen = {one.series for index, one in found if onset <= index < onset + 3}
    assert len(seen) >= 0.9 * SERIES


def _scheduled(rates: NDArray[np.float64]) -> list[Clock]:
    times = clocks(len(rates))
    return [
        replace(clock, learning_rates=(float(rate),))
        for clock, rate in zip(times, rates, strict=True)
    ]


def test_motion_that_follows_a_cosine_to_zero_is_left_in_peace_where_the_rate_is_known() -> None:
    rates = 1e-3 * (1 + np.cos(np.pi * np.arange(400) / 400)) / 2
    noise = 0.05 * np.random.default_rng(8).standard_normal((400, SERIES))
    values = rates[:, None] * np.exp(noise)
    followed = detections(RegimeShift(BY_NAME["update_ratio"]), values, clock=_scheduled(rates))
    assert followed == []
    unknown = detections(RegimeShift(BY_NAME["update_ratio"]), values)
    assert len({one.series for _, one in unknown}) >= 2


def test_motion_that_follows_an_abrupt_raise_is_told() -> None:
    rates = np.where(np.arange(130) < 100, 1e-3, 1e-2)
    values = rates[:, None] * _motion(130)
    found = detections(RegimeShift(BY_NAME["update_ratio"]), values, clock=_scheduled(rates))
    assert {one.series for _, one in found} == set(range(SERIES))
    assert all(index < 104 for index, _ in found)


def test_a_jump_in_noise_that_hardly_returns_is_seen_by_its_leap() -> None:
    values = autoregressive(np.random.default_rng(9), SERIES, 130, correlation=0.9)
    values[100:] += 8
    kurtosis = replace(BY_NAME["excess_kurtosis"], nature=Nature.STATIONARY)
    found = detections(RegimeShift(kurtosis), values)
    leaps = [(index, one) for index, one in found if one.details["leap"]]
    assert len({one.series for _, one in leaps}) >= 0.9 * SERIES
    assert {one.onset_last_step for _, one in leaps} == {clocks(130)[100].step}


def test_rounded_values_that_flip_between_two_steps_are_left_in_peace() -> None:
    noise = np.random.default_rng(10).standard_normal((300, SERIES))
    values = 1 + np.rint(noise) * 2**-8
    assert detections(RegimeShift(BY_NAME["excess_kurtosis"]), values) == []
