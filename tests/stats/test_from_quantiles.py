"""Densities between stored quantiles, and where a density has its modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from bifurk_service.stats.distributions.from_quantiles import (
    PROBABILITIES,
    density_from_quantiles,
)
from bifurk_service.stats.distributions.peaks import peaks

EDGES = np.linspace(-4, 4, 81)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2


def quantiles(mean: float = 0.0, std: float = 1.0) -> list[float]:
    return [float(norm.ppf(p, mean, std)) for p in PROBABILITIES.values()]


def test_a_gaussians_quantiles_give_back_the_gaussian() -> None:
    found = density_from_quantiles(quantiles(0.4, 0.8), EDGES, "weight", std=0.8)
    inside = np.abs(CENTRES - 0.4) < 2.4
    exact = np.diff(norm.cdf(EDGES, 0.4, 0.8)) / np.diff(EDGES)
    assert found[inside] == pytest.approx(exact[inside], rel=1e-3)
    assert (found * np.diff(EDGES)).sum() == pytest.approx(0.998, abs=1e-6)


def test_units_are_those_of_a_density() -> None:
    sigma = density_from_quantiles(quantiles(0, 3.0), EDGES, "sigma", std=3.0)
    assert sigma.max() == pytest.approx(norm.pdf(0), rel=1e-2)
    decades = np.linspace(-3, 1, 400)
    logarithm = density_from_quantiles(quantiles(), decades, "log_magnitude", std=1.0)
    assert (logarithm * np.diff(decades)).sum() == pytest.approx(1, abs=5e-3)
    assert (logarithm >= 0).all()


@pytest.mark.parametrize(
    "values",
    [[0.5] * 9, [np.nan] * 9, [0.0] * 4 + [1.0] * 5],
    ids=["equal", "unknown", "two values"],
)
@pytest.mark.parametrize("unit", ["weight", "sigma", "log_magnitude"])
def test_what_has_no_shape_has_no_density(values: list[float], unit: Any) -> None:
    assert np.isnan(density_from_quantiles(values, EDGES, unit, std=0.0)).all()


def test_ties_at_one_end_keep_the_rest() -> None:
    values = [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    found = density_from_quantiles(values, EDGES, "weight", std=1.0)
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_two_modes_are_found_and_noise_is_none() -> None:
    two = norm.pdf(CENTRES, -1.5, 0.5) + norm.pdf(CENTRES, 1.5, 0.5)
    noisy = two * (1 + 0.1 * np.random.default_rng(1).standard_normal(CENTRES.size))
    assert peaks(noisy, EDGES) == pytest.approx([-1.5, 1.5], abs=0.3)
    assert peaks(norm.pdf(CENTRES), EDGES) == pytest.approx([0.0], abs=0.1)


@pytest.mark.parametrize("density", [np.zeros(80), np.full(80, np.nan)])
def test_nothing_has_no_mode(density: Any) -> None:
    assert peaks(density, EDGES).size == 0
