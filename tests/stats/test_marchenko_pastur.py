"""The law of noise, its edges' fluctuation, and the bulk fitted to a spectrum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import airy

from bifurk_service.stats.spectra.marchenko_pastur import density, distribution, edges, quantiles
from bifurk_service.stats.spectra.noise_bulk import LOW_RANK, NO_BULK, TOO_SMALL, BulkFit, fit_bulk
from bifurk_service.stats.spectra.noise_bulk_null import ks_null_99
from bifurk_service.stats.spectra.tracy_widom import (
    EDGE_PROBABILITY,
    EDGE_QUANTILE,
    lower_threshold,
    upper_threshold,
)

SIDES = [(512, 2048), (256, 256), (300, 400), (768, 50_257)]

Floats = NDArray[np.float64]


def spectrum(rows: int, columns: int, *, seed: int = 0, sigma: float = 1.0) -> Floats:
    noise = sigma * np.random.default_rng(seed).normal(size=(rows, columns))
    return np.linalg.svd(noise, compute_uv=False)


def fitted(singular: Floats, short: int, long: int) -> BulkFit:
    fit = fit_bulk(singular, short=short, long=long)
    assert isinstance(fit, BulkFit), fit
    return fit


def test_the_edges_of_a_known_matrix() -> None:
    assert 0.02 * np.array(edges(512, 2048)) == pytest.approx([0.45255, 1.35765], abs=5e-6)


@pytest.mark.parametrize(("short", "long"), SIDES)
def test_the_distribution_is_the_integral_of_the_density(short: int, long: int) -> None:
    low, high = edges(short, long)

    def integrand(turn: float) -> float:
        """In an angle, which takes the steepness out of both ends."""
        value = low + (high - low) * (1 - math.cos(turn)) / 2
        there = density(np.array(value), sigma=1.0, rows=long, columns=short)
        return float(there) * (high - low) * math.sin(turn) / 2

    for turn in (0.3, 1.0, 2.0, math.pi):
        mass, _ = quad(integrand, 0, turn, epsabs=1e-11)
        value = np.array(low + (high - low) * (1 - math.cos(turn)) / 2)
        assert distribution(value, short, long) == pytest.approx(mass, abs=1e-9)
    assert distribution(np.array([0.0, 2 * high]), short, long) == pytest.approx([0, 1], abs=1e-12)


def test_the_density_scales_with_sigma_and_is_zero_outside() -> None:
    values = np.linspace(0, 80, 401)
    plain = density(values, sigma=1.0, rows=256, columns=1024)
    np.testing.assert_allclose(density(3 * values, sigma=3.0, rows=256, columns=1024), plain / 3)
    low, high = edges(256, 1024)
    assert not plain[(values < low) | (values > high)].any()
    # A square matrix has a quarter of a circle, finite at zero.
    at_zero = density(np.array([0.0]), sigma=1.0, rows=100, columns=100)
    assert at_zero == pytest.approx(2 / (math.pi * 20) * 2)


@pytest.mark.parametrize(("short", "long"), SIDES)
def test_quantiles_invert_the_distribution(short: int, long: int) -> None:
    shares = np.linspace(0.1, 0.9, 33)
    inverted = distribution(quantiles(shares, short, long), short, long)
    np.testing.assert_allclose(inverted, shares, atol=1e-6)


@pytest.mark.parametrize(("aspect", "median"), [(1.0, 0.8079), (0.25, 0.9571)])
def test_medians_are_those_of_gavish_and_donoho(aspect: float, median: float) -> None:
    """Their table of median values, in units of sigma sqrt(n)."""
    short = round(1000 * aspect)
    found = float(quantiles(np.array(0.5), short, 1000)) / math.sqrt(1000)
    assert found == pytest.approx(median, abs=5e-5)


def tracy_widom(s: float, nodes: int = 60) -> float:
    """F_1(s) as a Fredholm determinant, det(1 - K), K(x, y) = Ai((x + y) / 2 + s) / 2 on x, y > 0.

    Ferrari and Spohn 2005, by Gauss-Legendre quadrature after Bornemann 2010.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = 10 * (x + 1), 10 * w  # to 20, where the kernel is 1e-13
    kernel = airy((x[:, None] + x) / 2 + s)[0] / 2
    root = np.sqrt(w)
    return float(np.linalg.det(np.eye(nodes) - root[:, None] * kernel * root))


def test_the_edge_quantile_is_that_of_the_tracy_widom_law() -> None:
    assert tracy_widom(0.9793) == pytest.approx(0.95, abs=1e-4)  # a published 95 % point
    assert 1 - tracy_widom(EDGE_QUANTILE) == pytest.approx(EDGE_PROBABILITY, rel=1e-3)


def test_noise_crosses_the_thresholds_about_as_often_as_it_says() -> None:
    """3,000 draws of 40 x 160: .25 % each side, so 7.5 of each, at most 17 once in 2,000."""
    rng = np.random.default_rng(8)
    gram = [(w := rng.normal(size=(40, 160))) @ w.T for _ in range(3_000)]
    eigenvalues = np.linalg.eigvalsh(np.array(gram))
    lower = lower_threshold(40, 160)
    assert lower is not None
    above = np.count_nonzero(eigenvalues[:, -1] > upper_threshold(40, 160) ** 2)
    below = np.count_nonzero(eigenvalues[:, 0] < lower**2)
    assert 1 <= above <= 17
    assert 1 <= below <= 17


def test_thresholds_lie_a_little_outside_the_edges() -> None:
    for short, long in ((256, 1024), (768, 3072), (768, 50_257)):
        lower, (low, high) = lower_threshold(short, long), edges(short, long)
        assert lower is not None
        assert 0.97 * low < lower < low
        assert high < upper_threshold(short, long) < 1.02 * high


def test_nearly_square_matrices_have_no_lower_threshold() -> None:
    assert lower_threshold(91, 100) is None
    assert lower_threshold(90, 100) is not None


@pytest.mark.parametrize(("short", "long"), [(256, 1024), (256, 256), (128, 2048)])
@pytest.mark.parametrize("spikes", [0, 1, 10, 40])
def test_sigma_and_the_bulk_are_found_under_any_number_of_spikes(
    short: int, long: int, spikes: int
) -> None:
    """Spikes are strong, so the rest is exactly the noise of a smaller matrix."""
    singular = np.concatenate(
        (1_000.0 + np.arange(spikes)[::-1], spectrum(short - spikes, long - spikes, sigma=0.5))
    )
    fit = fitted(singular, short, long)
    assert (fit.above, fit.below) == (spikes, 0)
    assert fit.sigma == pytest.approx(0.5, rel=0.01)
    assert fit.ks_distance < fit.ks_null_99
    low, high = (0.5 * edge for edge in edges(short - spikes, long - spikes))
    assert (fit.lower_edge, fit.upper_edge) == pytest.approx((low, high), rel=0.01, abs=0.02)


def test_a_bulk_that_is_no_noise_lies_farther_off_than_its_null() -> None:
    decaying = np.linspace(60, 20, 256)
    fit = fitted(decaying, 256, 1024)
    assert fit.ks_distance > 3 * fit.ks_null_99


def test_small_and_hollow_spectra_have_no_bulk() -> None:
    assert fit_bulk(spectrum(31, 100), short=31, long=100) == TOO_SMALL
    hollow = np.concatenate((np.linspace(9, 1, 40), np.zeros(60)))
    assert fit_bulk(hollow, short=100, long=200) == LOW_RANK
    steep = np.exp(-np.linspace(0, 12, 200))
    assert fit_bulk(steep, short=200, long=400) == NO_BULK


def test_the_null_of_the_distance_falls_as_one_over_the_side() -> None:
    for long in (256, 512, 16_384):
        assert 3 / 256 < ks_null_99(256, long) < 4.5 / 256
    assert ks_null_99(2048, 8192) < ks_null_99(768, 3072) / 2
    assert ks_null_99(64, 1_000_000) == ks_null_99(64, 4_096)  # as at the end of the table


def test_the_null_of_the_distance_holds_on_fresh_noise() -> None:
    """200 draws of 64 x 200: 1 % beyond it, so 2; 8 or more once in 1,000."""
    ratios = []
    for seed in range(200):
        fit = fitted(spectrum(64, 200, seed=seed), 64, 200)
        ratios.append(fit.ks_distance / fit.ks_null_99)
    assert np.count_nonzero(np.array(ratios) > 1) < 8
    assert 0.55 < np.median(ratios) < 0.85
