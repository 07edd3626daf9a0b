"""``layer_departure``: one layer leaves, and is named; the ends of smooth profiles are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from bifurk_service.detect.base import Detection
from bifurk_service.detect.layer_departure import LayerDeparture
from bifurk_service.detect.layer_distance import from_neighbours, leaving, spread
from bifurk_service.detect.robust_fit import GAUSSIAN_MAD
from bifurk_service.stats.registry import BY_NAME
from tests.detect.layers import (
    NULLS,
    depth,
    fork,
    one_leaves,
    one_role,
    population_detections,
    relaxing,
    roles,
    white,
)

PLAIN = replace(BY_NAME["excess_kurtosis"], name="in_units_of_noise")
"""A statistic without a least change: the hardest."""
ONSET = 100


def _departed(values: NDArray[np.float64]) -> list[tuple[int, Detection]]:
    return population_detections(LayerDeparture(PLAIN), one_role(values.shape[1]), values)


GROUPS, LAYERS = 5, 12


@pytest.fixture(scope="module")
def departed() -> dict[str, int]:
    """How many layers left in each null: groups that do not see one another, judged at once."""
    values = [
        NULLS[null](np.random.default_rng(seed), 200, LAYERS)
        for null in NULLS
        for seed in range(GROUPS)
    ]
    found = population_detections(
        LayerDeparture(PLAIN), roles(len(values), LAYERS), np.concatenate(values, axis=1)
    )
    series = {one.series for _, one in found}
    return {
        null: sum(one // (GROUPS * LAYERS) == place for one in series)
        for place, null in enumerate(NULLS)
    }


@pytest.mark.parametrize("null", NULLS)
def test_healthy_layers_stay(null: str, departed: dict[str, int]) -> None:
    assert departed[null] <= binom.ppf(0.995, GROUPS * LAYERS, 0.01)


@pytest.mark.parametrize("layers", [6, 12, 24])
def test_a_layer_that_jumps_by_eight_standard_deviations_is_named_soon(layers: int) -> None:
    values = [
        one_leaves(np.random.default_rng(seed), ONSET + 30, layers, onset=ONSET, size=8)
        for seed in range(6)
    ]
    found = population_detections(
        LayerDeparture(PLAIN), roles(len(values), layers), np.concatenate(values, axis=1)
    )
    assert {one.series % layers for _, one in found} <= {2}
    delays = [index - ONSET + 1 for index, _ in found]
    assert len(delays) >= 5
    assert np.median(delays) <= 6


def test_two_layers_may_leave_together() -> None:
    values = one_leaves(np.random.default_rng(3), 150, 12, onset=ONSET, size=15)
    values[ONSET:, 9] += 15
    assert {one.series for _, one in _departed(values)} == {2, 9}


def test_three_are_a_branch_and_no_departure() -> None:
    assert _departed(fork(np.random.default_rng(4), 150, 12, leaving=4, onset=ONSET)) == []


def test_an_inner_layer_is_seen_against_a_steep_profile() -> None:
    random = np.random.default_rng(5)
    values = one_leaves(random, 160, 24, onset=ONSET, size=12)
    values[ONSET:] += 60 * depth(24)
    assert [one.series for _, one in _departed(values)] == [2]


def test_a_slow_departure_is_told_while_it_goes_on() -> None:
    values = one_leaves(np.random.default_rng(6), 160, 12, onset=ONSET, size=12, over=24)
    (found,) = _departed(values)
    assert found[1].series == 2
    assert found[0] - ONSET < 24


def test_the_onset_and_the_values_on_either_side() -> None:
    values = one_leaves(
        np.random.default_rng(7), ONSET + 30, 12, onset=ONSET, size=1.0, base=relaxing
    )
    found = population_detections(LayerDeparture(BY_NAME["std"]), one_role(12), np.exp(values))
    ((index, one),) = found
    assert index - ONSET <= 4
    assert one.onset_first_step == 10 * ONSET
    assert one.onset_last_step == 10 * (ONSET + 1)
    assert one.after / one.before == pytest.approx(np.e, rel=0.1)


def test_a_departure_is_told_once_and_the_next_one_again() -> None:
    values = one_leaves(np.random.default_rng(8), 260, 12, onset=ONSET, size=20)
    values[200:, 2] += 20
    assert [one.series for _, one in _departed(values)] == [2, 2]


def test_a_layer_that_is_always_noisier_does_not_leave() -> None:
    values = white(np.random.default_rng(9), 300, 12)
    values[:, 4] *= 4
    assert _departed(values) == []


@pytest.mark.parametrize("heavy", [True, False], ids=["Student-3", "walks"])
def test_neither_heavy_tails_nor_walks_depart(heavy: bool) -> None:
    random, shape = np.random.default_rng(10), (300, 30 * 12)
    values = random.standard_t(3, shape) if heavy else random.standard_normal(shape).cumsum(axis=0)
    found = population_detections(LayerDeparture(PLAIN), roles(30, 12), values)
    assert len({one.series // 12 for _, one in found}) <= 1


def test_of_five_layers_one_is_its_neighbourhoods_median_and_tells_no_spread() -> None:
    distance = np.array([[0.0, -1.0, 2.0, 1.0, -2.0], [0.0, 0.0, 0.0, 0.0, 3.0]])
    rest, flat = spread(distance, np.ones((2, 5), dtype=np.bool_))
    assert rest == pytest.approx(1.5 * GAUSSIAN_MAD)
    assert flat == 0


def test_a_monotone_profile_has_no_distance_from_neighbours() -> None:
    profile = np.exp(4 * depth(12))[None, :]
    distance, inner = from_neighbours(profile, np.ones((1, 12), dtype=np.bool_))
    assert inner.sum() == 8
    assert not distance.any()


def test_who_stands_apart_is_at_most_two_on_a_side() -> None:
    mask = np.ones((4, 8), dtype=np.bool_)
    distance = np.array(
        [
            [0, 1, 2, 3, 4, 5, 6, 20],
            [0, 1, 2, 3, 4, 5, 20, 21],
            [0, 1, 2, 3, 4, 20, 21, 22],
            [-30, -9, 2, 3, 4, 5, 6, 7],
        ],
        dtype=np.float64,
    )
    out = leaving(distance, mask, clear=2.0)
    assert [np.flatnonzero(row).tolist() for row in out] == [[7], [6, 7], [], [0, 1]]
