"""Shares and draws against the values themselves."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bifurk.exact import Exact
from bifurk.sketch import sketch
from bifurk_service.stats.distributions.distribution import Distribution, from_counts, from_values
from bifurk_service.stats.distributions.sampling import draws, share_between

ROUNDED_SHARE_TOLERANCE = 2.0**-8
"""Of a share of spread-out values known to the nearest bfloat16: one bin's share."""


def gaussian(size: int = 50_000) -> NDArray[np.float32]:
    return (0.02 * np.random.default_rng(11).standard_normal(size)).astype(np.float32)


def exact(values: NDArray[np.float32]) -> Distribution:
    return from_values(Exact(dtype="float32", data=values))


def rounded(values: NDArray[np.float32]) -> Distribution:
    return from_counts(sketch(values), dtype="float32")


INTERVALS = [(-0.01, 0.02), (0.0, math.inf), (-math.inf, 0.013), (-math.inf, math.inf), (0.2, 0.3)]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_a_share_is_that_of_the_values(low: float, high: float) -> None:
    values = gaussian()
    true = np.mean((values >= low) & (values < high))
    assert share_between(exact(values), low, high) == pytest.approx(true, abs=1e-12)
    assert share_between(rounded(values), low, high) == pytest.approx(
        true, abs=ROUNDED_SHARE_TOLERANCE
    )


def test_the_lower_end_belongs_to_it_and_the_upper_does_not() -> None:
    values = np.array([0.0, 0.0, 1.0, 2.0], dtype=np.float32)
    for distribution in (exact(values), from_counts(sketch(values), dtype="bfloat16")):
        assert share_between(distribution, 0.0, 1.0) == 0.5
        assert share_between(distribution, 1.0, 2.0) == 0.25
        assert share_between(distribution, 2.0, math.inf) == 0.25
        assert share_between(distribution, -math.inf, 0.0) == 0.0


def test_zeros_of_rounded_values_are_known_to_be_zeros() -> None:
    values = np.concatenate([np.zeros(30_000, np.float32), gaussian(10_000)])
    assert share_between(rounded(values), 0.0, 1e-38) == pytest.approx(0.75, abs=1e-3)
    assert share_between(rounded(values), -1e-38, 0.0) == pytest.approx(0.0, abs=1e-3)


def test_neighbouring_intervals_share_out_everything() -> None:
    edges = [-math.inf, *np.linspace(-0.1, 0.1, 1001), math.inf]
    for distribution in (exact(gaussian()), rounded(gaussian())):
        shares = [share_between(distribution, low, high) for low, high in itertools.pairwise(edges)]
        assert min(shares) >= 0.0
        assert sum(shares) == pytest.approx(1.0, abs=1e-12)


def test_draws_follow_the_distribution() -> None:
    values = gaussian()
    for distribution in (exact(values), rounded(values)):
        drawn = draws(distribution, size=20_000, seed=5)
        assert stats.ks_2samp(drawn, values).pvalue > 0.01


def test_known_values_are_drawn_as_they_are() -> None:
    values = gaussian(1000)
    drawn = draws(exact(values), size=5000, seed=1)
    assert set(drawn.tolist()) <= set(values.astype(np.float64).tolist())


def test_rounded_values_are_drawn_from_between_the_keys() -> None:
    drawn = draws(rounded(gaussian()), size=5000, seed=1)
    assert np.unique(drawn).size > 4900


def test_the_same_seed_gives_the_same_draws_and_another_does_not() -> None:
    distribution = rounded(gaussian())
    first = draws(distribution, size=100, seed=3)
    assert np.array_equal(first, draws(distribution, size=100, seed=3))
    assert np.array_equal(first[:10], draws(distribution, size=10, seed=3))
    assert not np.array_equal(first, draws(distribution, size=100, seed=4))


@pytest.mark.parametrize("values", [[3.0], [-0.0, 0.0], [1e-45, 3.4e38, -3.4e38]])
def test_extreme_tensors_are_drawn_from_too(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    drawn = draws(exact(array), size=200, seed=0)
    assert set(drawn.tolist()) == set(array.astype(np.float64).tolist())
