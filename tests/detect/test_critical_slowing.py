"""``critical_slowing``: a role's fluctuations grow and slow down; a changing schedule mutes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from bifurk_service.detect.base import Detection
from bifurk_service.detect.critical_slowing import CriticalSlowing, CriticalSlowingParameters
from bifurk_service.detect.streams import autoregressive, clocks
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import BY_NAME
from tests.detect.layers import one_role, population_detections, roles

LENGTH = 240
LAYERS = 4
LENIENT = CriticalSlowingParameters(tau=0.7)
"""At the default few of such streams are told, too few to see what is told of them."""


def _slowing(seed: int) -> NDArray[np.float64]:
    """Noise whose pull back vanishes over the run, common to all layers."""
    random = np.random.default_rng(seed)
    value, values = 0.0, []
    for index in range(LENGTH):
        near = index / LENGTH
        value = 0.97 * near * value + 0.02 * (0.3 + near) * random.standard_normal()
        values.append(value)
    return np.exp(np.array(values)[:, None] + 0.0005 * random.standard_normal((LENGTH, LAYERS)))


def _told(
    values: NDArray[np.float64], clock: list[Clock] | None = None
) -> list[tuple[int, Detection]]:
    detector = CriticalSlowing(BY_NAME["std"], parameters=LENIENT)
    return population_detections(detector, one_role(values.shape[1]), values, clock=clock)


@pytest.fixture(scope="module")
def slow() -> NDArray[np.float64]:
    """The first of some streams that is told."""
    return next(values for values in map(_slowing, range(8)) if _told(values))


def test_slowing_down_is_told_of_every_member_once() -> None:
    groups = 10
    values = np.concatenate([_slowing(seed) for seed in range(groups)], axis=1)
    detector = CriticalSlowing(BY_NAME["std"], parameters=LENIENT)
    found = population_detections(detector, roles(groups, LAYERS), values)
    told = {one.series // LAYERS for _, one in found}
    assert len(told) >= 4
    assert {one.series for _, one in found} == {
        group * LAYERS + layer for group in told for layer in range(LAYERS)
    }
    for _, one in found:
        assert float(one.details["tau_variance"]) > 0.7
        assert float(one.details["tau_autocorrelation"]) > 0.7
        assert 0 < float(one.details["p_value"]) <= 0.002


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_noise_that_stays_as_it_is_is_rarely_taken_for_it(correlation: float) -> None:
    groups = 20
    noise = autoregressive(
        np.random.default_rng(11), groups * LAYERS, LENGTH, correlation=correlation
    )
    detector = CriticalSlowing(BY_NAME["std"])
    found = population_detections(detector, roles(groups, LAYERS), np.exp(0.02 * noise))
    assert len({one.series // LAYERS for _, one in found}) <= binom.ppf(0.995, groups, 0.02)


def test_a_changing_learning_rate_mutes_it(slow: NDArray[np.float64]) -> None:
    decaying = [
        replace(clock, learning_rates=(1e-3 * 0.99**index,))
        for index, clock in enumerate(clocks(LENGTH))
    ]
    assert _told(slow, decaying) == []


def test_unknown_learning_rates_are_steady_ones(slow: NDArray[np.float64]) -> None:
    without = [replace(clock, learning_rates=()) for clock in clocks(LENGTH)]
    assert _told(slow, without) == _told(slow)
