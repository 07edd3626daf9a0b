"""The exponent of a tail: equal to the plain computation and to WeightWatcher's, or withheld."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.spectra.power_law import (
    MINIMUM_TAIL,
    NO_TAIL,
    SHORT_TAIL,
    TOO_FEW,
    PowerLaw,
    best_power_law,
    fit_power_law,
)
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum
from bifurk_service.stats.value import NoValue

PARITY = 1e-6
"""Relative, of eigenvalues from a Gram matrix against those of a singular value decomposition."""

Floats = NDArray[np.float64]

WEIGHTWATCHER: list[tuple[int, tuple[int, int], tuple[float, float, float, float]]] = [
    (0, (768, 768), (7.894692619917247, 6.980055292688183, 0.08087993364104823, 1.767612660738103)),
    (1, (200, 300), (0.7693200551501549, 7.547883108227289, 0.125847545244323, 0.5484308861653432)),
    (2, (256, 1024), (1.832864456885197, 38.5897601355856, 0.120715661696023, 1.7007767705646744)),
    (3, (1000, 64), (1.3094734546091564, 15.400086350006104, 0.129607251124992, 1.075802605570965)),
]
"""Seed, shape; lambda_max, alpha, D, xmin of WeightWatcher 0.7.7's analyze() for
0.02 * default_rng(seed).standard_t(4, shape) in float32, printed by
``python benchmarks/spectra.py --reference`` with weightwatcher installed."""


def plain_fit(ascending: Floats) -> tuple[float, float, float, int]:
    """One tail after the other, after Clauset, Shalizi and Newman: alpha, x_min, D, count."""
    best = (np.inf, 0.0, np.inf, 0)
    for start in range(ascending.size - 1):
        tail = ascending[start:]
        total = np.sum(np.log(tail / tail[0]))
        if total == 0:
            continue
        alpha = 1 + tail.size / total
        model = 1 - (tail / tail[0]) ** (1 - alpha)
        distance = np.max(np.abs(model - np.arange(tail.size) / tail.size))
        if distance < best[2]:
            best = (alpha, tail[0], distance, tail.size)
    return best


def told(fit: PowerLaw | None) -> tuple[float, float, float, int]:
    assert fit is not None
    return fit.alpha, fit.x_min, fit.ks_distance, fit.tail_count


@pytest.mark.parametrize("size", [2, 3, 40, 700])
@pytest.mark.parametrize("law", ["pareto", "normal", "lognormal", "ties"])
def test_the_fit_equals_the_plain_computation(law: str, size: int) -> None:
    rng = np.random.default_rng(size)
    values = {
        "pareto": lambda: 1 + rng.pareto(1.5, size),
        "normal": lambda: np.square(rng.normal(size=size)) + 1e-9,
        "lognormal": lambda: 1e-20 * rng.lognormal(0, 4, size),
        "ties": lambda: np.append(np.round(10 * rng.uniform(1, 3, size - 1)), 31.0),
    }[law]()
    ascending = np.sort(values)
    assert told(best_power_law(ascending)) == pytest.approx(plain_fit(ascending), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_pareto_sample_has_its_exponent(seed: int) -> None:
    """Density exponent 2.5 from 1 on: 5,000 values give 2.50 +- .07."""
    values = np.sort(1 + np.random.default_rng(seed).pareto(1.5, 5_000))
    fit = fit_power_law(values)
    assert isinstance(fit, PowerLaw)
    assert fit.alpha == pytest.approx(2.5, abs=0.07)
    assert fit.ks_distance < 0.03


@pytest.mark.parametrize(("seed", "shape", "theirs"), WEIGHTWATCHER)
def test_the_fit_equals_weightwatchers(
    seed: int, shape: tuple[int, int], theirs: tuple[float, float, float, float]
) -> None:
    matrix = 0.02 * np.random.default_rng(seed).standard_t(4, size=shape)
    spectrum = measure_spectrum(matrix.astype(np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    eigenvalues = np.square(spectrum.singular_values[::-1])
    alpha, x_min, distance, _ = told(best_power_law(eigenvalues))
    ours = (float(eigenvalues[-1]), alpha, distance, x_min)
    assert ours == pytest.approx(theirs, rel=PARITY)


def test_where_weightwatcher_fits_a_short_tail_ours_is_withheld() -> None:
    """Its alpha of 38.6 rests on a handful of points."""
    matrix = 0.02 * np.random.default_rng(2).standard_t(4, size=(256, 1024))
    spectrum = measure_spectrum(matrix.astype(np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    assert spectrum.power_law == spectrum.statistics["power_law_alpha"] == SHORT_TAIL


def test_few_or_equal_values_have_no_exponent() -> None:
    assert fit_power_law(np.arange(1.0, MINIMUM_TAIL)) == TOO_FEW
    assert fit_power_law(np.full(80, 3.0)) == NO_TAIL
    assert best_power_law(np.array([2.0])) is None
    almost = fit_power_law(np.append(np.full(79, 3.0), 4.0))
    assert isinstance(almost, PowerLaw | NoValue)


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 1e150])
def test_the_exponent_does_not_depend_on_the_unit(factor: float) -> None:
    values = np.sort(1 + np.random.default_rng(1).pareto(2, 400))
    alpha, x_min, distance, count = told(best_power_law(values))
    scaled = (alpha, factor * x_min, distance, count)
    assert told(best_power_law(factor * values)) == pytest.approx(scaled, rel=1e-9)
