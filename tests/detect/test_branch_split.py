"""``branch_split``: forks are seen, and what is no fork is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from bifurk_service.detect.base import Detection
from bifurk_service.detect.branch_split import BranchSplit
from bifurk_service.detect.parting_null import allowed_rest
from bifurk_service.detect.two_groups import part
from bifurk_service.stats.registry import BY_NAME
from tests.detect.layers import (
    NULLS,
    fork,
    one_leaves,
    one_role,
    pitchfork,
    population_detections,
    roles,
    white,
)

ONSET = 60
PLAIN = replace(BY_NAME["excess_kurtosis"], name="in_units_of_noise")
"""A statistic without a least change: the hardest."""


def _split(values: NDArray[np.float64]) -> list[tuple[int, Detection]]:
    return population_detections(BranchSplit(PLAIN), one_role(values.shape[1]), values)


GROUPS = 6


@pytest.fixture(scope="module", params=[6, 12, 48])
def parted(request: pytest.FixtureRequest) -> dict[str, int]:
    """How many groups of each null parted; they do not see one another and are judged at once."""
    layers = request.param
    values = [
        NULLS[null](np.random.default_rng(seed), 200, layers)
        for null in NULLS
        for seed in range(GROUPS)
    ]
    found = population_detections(
        BranchSplit(PLAIN), roles(len(values), layers), np.concatenate(values, axis=1)
    )
    groups = {one.series // layers for _, one in found}
    return {null: sum(one // GROUPS == place for one in groups) for place, null in enumerate(NULLS)}


@pytest.mark.parametrize("null", NULLS)
def test_healthy_layers_do_not_part(null: str, parted: dict[str, int]) -> None:
    assert parted[null] <= binom.ppf(0.995, GROUPS, 0.01)


@pytest.mark.parametrize(("layers", "leaving"), [(6, 3), (12, 4), (24, 5), (48, 6)])
@pytest.mark.parametrize("over", [0, 20])
def test_layers_that_grow_threefold_part_within_twenty_snapshots(
    layers: int, leaving: int, over: int
) -> None:
    random = np.random.default_rng(layers)
    found = _split(fork(random, ONSET + 25, layers, leaving=leaving, onset=ONSET, over=over))
    assert {one.series for _, one in found} == set(range(layers))
    assert {index - ONSET < 20 for index, _ in found} == {True}
    assert sum(one.details["branch"] == 1 for _, one in found) == leaving
    assert {one.details["layers_high"] for _, one in found} == {leaving}


def test_a_fork_among_the_first_snapshots_is_seen_in_a_short_window() -> None:
    found = _split(fork(np.random.default_rng(2), 30, 12, leaving=4, onset=15))
    assert len(found) == 12
    assert {one.details["window"] for _, one in found} == {9}


def test_the_onset_of_a_sudden_fork_is_the_very_interval() -> None:
    for _, one in _split(fork(np.random.default_rng(3), ONSET + 25, 12, leaving=4, onset=ONSET)):
        assert one.onset_first_step <= 10 * ONSET
        assert one.onset_last_step == 10 * (ONSET + 1)
        assert one.details["snapshots_since_onset"] == 11


def test_one_split_is_told_once_however_long_it_goes_on() -> None:
    found = _split(fork(np.random.default_rng(4), 250, 12, leaving=4, onset=ONSET, over=120))
    assert len(found) == 12


def test_a_second_fork_of_others_is_told_again() -> None:
    values = fork(np.random.default_rng(5), 200, 12, leaving=4, onset=ONSET)
    values[130:, 1::2] += 1.5
    assert len(_split(values)) == 24


@pytest.mark.parametrize("leaving", [1, 2])
def test_fewer_than_three_layers_are_no_branch(leaving: int) -> None:
    values = one_leaves(np.random.default_rng(6), 150, 12, onset=ONSET, size=20)
    if leaving == 2:
        values[ONSET:, 7] += 20
    assert _split(values) == []


def test_a_pitchfork_of_the_population_is_seen() -> None:
    found = _split(pitchfork(np.random.default_rng(7), 200, 24))
    assert len(found) == 24
    assert min(index for index, _ in found) > 100


def test_a_gap_below_the_least_change_is_not_told() -> None:
    values = 1e-3 * white(np.random.default_rng(8), 150, 12)
    values[ONSET:, :4] += 0.04
    found = population_detections(BranchSplit(BY_NAME["std"]), one_role(12), np.exp(values))
    assert found == []
    values[ONSET:, :4] += 0.04
    found = population_detections(BranchSplit(BY_NAME["std"]), one_role(12), np.exp(values))
    assert len(found) == 12
    assert all(one.details["gap"] == pytest.approx(0.08, abs=0.01) for _, one in found)


def test_two_means_are_the_best_of_all_cuts() -> None:
    random = np.random.default_rng(9)
    values = random.standard_normal((40, 9))
    mask = np.arange(9) < random.integers(6, 10, 40)[:, None]
    parting = part(values, mask)
    for row, some in enumerate(mask):
        numbers = np.sort(values[row, some])
        total = np.var(numbers) * len(numbers)
        rest = [
            np.var(numbers[:cut]) * cut + np.var(numbers[cut:]) * (len(numbers) - cut)
            for cut in range(1, len(numbers))
        ]
        cut = int(np.argmin(rest)) + 1
        assert parting.r_squared[row] == pytest.approx(1 - min(rest) / total)
        assert (parting.low[row], parting.high[row]) == (cut, len(numbers) - cut)
        assert parting.gap[row] == pytest.approx(numbers[cut] - numbers[cut - 1])
        assert parting.apart[row] == pytest.approx(numbers[cut:].mean() - numbers[:cut].mean())


@pytest.mark.parametrize("layers", [6, 12, 24])
def test_noise_parts_less_well_than_is_asked_for(layers: int) -> None:
    values = np.random.default_rng(10).random((20_000, layers))
    parting = part(values, np.ones(values.shape, dtype=np.bool_))
    both = np.minimum(parting.low, parting.high) >= 3
    beyond = both & (1 - parting.r_squared < allowed_rest(np.array([layers])))
    assert beyond.sum() <= 8
