"""Distances of two distributions: scipy's on exact values, close on rounded ones, never NaN."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import rel_entr

from bifurk_service.stats.distributions.comparison import (
    ROUNDED_JS_TOLERANCE,
    ROUNDED_KS_TOLERANCE,
    ROUNDED_WASSERSTEIN_TOLERANCE,
    Distances,
    distances,
)
from bifurk_service.stats.value import (
    ALL_EQUAL,
    EMPTY,
    NO_FINITE,
    TOO_LARGE,
    UNRESOLVED,
    NoValue,
)
from tests.stats.tensors import LAWS, distribution_of, exact, number, weights

FLOATS = st.floats(-1e3, 1e3)


def between(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    carried: tuple[str, str] = ("values", "values"),
    dtype: str = "float64",
) -> Distances:
    found = distances(
        distribution_of(exact(a, dtype), carried=carried[0]),
        distribution_of(exact(b, dtype), carried=carried[1]),
    )
    assert not isinstance(found, NoValue), found
    return found


def ks_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its p-value, with which we have no business
        return float(scipy.stats.ks_2samp(a, b).statistic)


def gaussian_js(shift: float, width: float) -> float:
    """By numerical integration, nats."""
    x = np.linspace(-15, 15, 400_001)
    p, q = scipy.stats.norm.pdf(x), scipy.stats.norm(shift, width).pdf(x)
    middle = (p + q) / 2
    return float(np.trapezoid(rel_entr(p, middle) + rel_entr(q, middle), x)) / 2


@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (2, 31), (900, 400), (4_096, 16_000)])
def test_of_exact_values_they_equal_scipys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.normal(size=sizes[0]), 0.1 + 1.3 * rng.normal(size=sizes[1])
    found = between(a, b)
    assert found.ks == pytest.approx(ks_of(a, b), abs=1e-12)
    expected = scipy.stats.wasserstein_distance(a, b)
    assert found.wasserstein_1 == pytest.approx(expected, rel=1e-12)
    if sizes[0] > 1:
        assert found.wasserstein_1_sigma == pytest.approx(expected / np.std(a), rel=1e-12)


@given(
    a=arrays(np.float64, st.integers(1, 40), elements=FLOATS),
    b=arrays(np.float64, st.integers(1, 40), elements=FLOATS),
)
@settings(max_examples=100, deadline=None)
def test_of_any_values_with_ties_they_equal_scipys(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> None:
    found, back = between(a, b), between(b, a)
    expected = scipy.stats.wasserstein_distance(a, b)
    assert found.wasserstein_1 == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found.ks == pytest.approx(ks_of(a, b), abs=1e-12)
    assert 0.0 <= found.js_divergence <= math.log(2)
    assert (found.ks, found.js_divergence) == pytest.approx((back.ks, back.js_divergence))
    assert found.wasserstein_1 == pytest.approx(back.wasserstein_1)


@pytest.mark.parametrize("carried", ["values", "counts"])
@pytest.mark.parametrize("law", LAWS)
def test_a_distribution_is_at_no_distance_from_itself(law: str, carried: str) -> None:
    w = weights(law, 5_000)
    found = between(w, w[::-1], carried=(carried, carried), dtype="float32")
    assert (found.ks, found.js_divergence, found.wasserstein_1) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("shift", "width"), [(0.1, 1.0), (0.0, 1.1), (0.5, 2.0), (3.0, 1.0)])
def test_the_js_divergence_of_gaussians_is_that_of_their_densities(
    shift: float, width: float
) -> None:
    quantiles = scipy.stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    found = between(quantiles, shift + width * quantiles)
    assert found.js_divergence == pytest.approx(gaussian_js(shift, width), rel=0.015)


def test_a_shift_is_its_length_in_the_weights_unit_and_in_sigmas() -> None:
    w = weights("gaussian", 3_000)
    found = between(w, w + 0.003)
    assert found.wasserstein_1 == pytest.approx(0.003, rel=1e-12)
    assert found.wasserstein_1_sigma == pytest.approx(0.003 / np.std(w), rel=1e-12)


def test_two_samples_of_one_law_differ_as_chance_says() -> None:
    rng = np.random.default_rng(3)
    pairs = [between(rng.normal(size=4_096), rng.normal(size=8_192)) for _ in range(40)]
    mean = np.mean([pair.js_divergence for pair in pairs])
    assert mean == pytest.approx(pairs[0].js_by_chance, rel=0.05)


def test_pruned_and_unpruned_zeros_are_told_apart() -> None:
    w = weights("gaussian", 20_000)
    tiny = 1e-12 * np.random.default_rng(0).normal(size=w.size)
    pruned, shrunk = (np.where(np.abs(w) < 0.03, small, w) for small in (0.0, tiny))
    share = float(np.mean(np.abs(w) < 0.03))
    for carried in ("values", "counts"):
        found = between(pruned, shrunk, carried=(carried, carried), dtype="float32")
        assert found.js_divergence == pytest.approx(share * math.log(2), rel=0.02)
        assert found.ks == pytest.approx(share / 2, rel=0.05)


def test_distributions_without_overlap_are_ln_2_apart() -> None:
    found = between(weights("uniform", 1_000), 1 + weights("uniform", 700))
    assert found.js_divergence == pytest.approx(math.log(2), rel=1e-12)
    assert found.ks == 1.0


@pytest.mark.parametrize("law", LAWS)
def test_from_rounded_counts_they_are_within_their_tolerances(law: str) -> None:
    a, b = weights(law, 30_000, seed=1), 1.05 * weights(law, 30_000, seed=2) + 0.001
    a, b = (w.astype(np.float32).astype(np.float64) for w in (a, b))
    truth = between(a, b)
    magnitude = float(np.mean(np.abs(a)) + np.mean(np.abs(b)))
    for carried in (("counts", "counts"), ("counts", "values"), ("values", "counts")):
        found = between(a, b, carried=carried, dtype="float32")
        assert abs(found.ks - truth.ks) < ROUNDED_KS_TOLERANCE
        difference = abs(found.wasserstein_1 - truth.wasserstein_1)
        assert difference < ROUNDED_WASSERSTEIN_TOLERANCE * magnitude
        assert found.js_divergence == pytest.approx(truth.js_divergence, rel=ROUNDED_JS_TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bit_tensors_lose_nothing_in_counts(dtype: str) -> None:
    a, b = weights("gaussian", 9_000), weights("laplace", 9_000)
    from_counts = between(a, b, carried=("counts", "counts"), dtype=dtype)
    assert from_counts == between(a, b, dtype=dtype)


def test_no_spread_in_the_first_leaves_only_the_sigmas_without_a_value() -> None:
    found = between(np.ones(5), np.full(5, 3.0))
    assert found.wasserstein_1_sigma == ALL_EQUAL
    assert found.wasserstein_1 == 2.0


def test_what_cannot_be_compared_says_why() -> None:
    some = distribution_of(exact([1.0, 2.0]), carried="values")
    empty = distribution_of(exact([]), carried="values")
    broken = distribution_of(exact([np.nan, np.inf]), carried="values")
    gains = distribution_of(exact(1 + 0.001 * weights("gaussian", 20_000)), carried="counts")
    assert distances(empty, some) == EMPTY
    assert distances(some, broken) == NO_FINITE
    assert distances(some, gains) == distances(gains, some) == UNRESOLVED


def test_zeros_alone_are_known_even_from_rounded_counts() -> None:
    zeros = distribution_of(exact(np.zeros(20_000)), carried="counts")
    found = distances(zeros, distribution_of(exact(weights("gaussian", 20_000)), carried="counts"))
    assert not isinstance(found, NoValue)
    assert found.wasserstein_1_sigma == ALL_EQUAL


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1.0, 1e300])
def test_distances_follow_the_unit_and_shapes_do_not(size: float) -> None:
    a, b = np.array([-2.0, 0.0, 3.0]), np.array([1.0, 5.0])
    found, scaled = between(a, b), between(a * size, b * size)
    assert (scaled.ks, scaled.js_divergence) == (found.ks, found.js_divergence)
    assert scaled.wasserstein_1_sigma == pytest.approx(number(found.wasserstein_1_sigma))


def test_a_distance_beyond_float64_is_no_value() -> None:
    ends = [distribution_of(exact([v], "float64"), carried="values") for v in (1.7e308, -1.7e308)]
    assert distances(*ends) == TOO_LARGE
