"""Known numbers of known laws, and of two processes that bifurcate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.elements.element_table import element_statistics
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from bifurk_service.stats.value import Value
from tests.stats.tensors import distribution_of, exact, number, weights

MANY = 400_000


def measured(values: NDArray[np.float64]) -> dict[str, Value]:
    """Element statistics, sent as the client does: small tensors in full, large ones as counts."""
    carried = "values" if values.size <= 16_384 else "counts"
    return element_statistics(distribution_of(exact(values), carried=carried))


@pytest.mark.parametrize(
    ("law", "statistic", "value", "tolerance"),
    [
        ("gaussian", "near_zero_mass_0_1", 0.0797, 0.002),
        ("laplace", "near_zero_mass_0_1", 0.132, 0.002),
        ("gaussian", "excess_kurtosis", 0.0, 0.03),
        ("laplace", "excess_kurtosis", 3.0, 0.2),
        ("uniform", "excess_kurtosis", -1.2, 0.01),
        ("gaussian", "gaussian_ks_distance", 0.0, 0.003),
        ("mostly zero", "zero_share", 0.9, 0.002),
        ("gaussian", "hoyer_sparsity", 0.202, 0.002),
        ("gaussian", "weibull_shape", 1.2054, 0.004),
        ("laplace", "weibull_shape", 1.0, 0.004),
        ("uniform", "weibull_shape", 1.372, 0.004),
        ("gaussian", "outlier_share", 2e-9, 1e-5),
        ("gaussian", "gaussian_js_divergence", 0.0, 1e-4),
    ],
)
def test_known_laws_have_their_known_shape(
    law: str, statistic: str, value: float, tolerance: float
) -> None:
    statistics = measured(weights(law, MANY))
    assert statistics[statistic] == pytest.approx(value, abs=tolerance)


def test_three_percent_of_a_wider_law_give_a_kurtosis_near_74() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=MANY) * np.where(rng.uniform(size=MANY) < 0.03, 3, 0.2)
    assert measured(values)["excess_kurtosis"] == pytest.approx(74, abs=3)


def test_half_the_coordinates_decaying_lift_the_share_near_zero_to_one_half() -> None:
    values = weights("gaussian", 4_000)
    values[::2] *= 1e-3
    # The std falls by sqrt 2 at most, and of the other half 5.6 % lie within a tenth of it.
    share = number(measured(values)["near_zero_mass_0_1"])
    assert share == pytest.approx(0.5 + 0.5 * 0.0564, abs=0.01)


def pitchfork(parameter: float, *, size: int = 4_096) -> NDArray[np.float64]:
    """Draws from the stationary law of x' = mu x - x^3 + noise, density exp(-(x^4/4 - mu x^2/2)/D).

    By inverse transform on a fine grid, D = 0.05.
    """
    x = np.linspace(-3, 3, 20_001)
    density = np.exp(-(x**4 / 4 - parameter * x**2 / 2) / 0.05)
    cumulative = np.cumsum(density) / np.sum(density)
    return np.interp(np.random.default_rng(6).uniform(size=size), cumulative, x)


def test_a_pitchfork_splits_the_modes_after_the_crossing_and_never_before() -> None:
    ratios = {
        parameter: number(measured(pitchfork(parameter))["dip_ratio"])
        for parameter in (-1.0, -0.5, -0.1, 0.5, 0.75, 1.0)
    }
    assert all((ratio > 1) == (parameter > 0) for parameter, ratio in ratios.items()), ratios


@pytest.mark.parametrize("size", [3_776, 100_000])
def test_growth_of_scale_alone_changes_neither_shape_nor_modes(size: int) -> None:
    values = weights("gaussian", size)
    start, grown = (measured(v) for v in (values, 3 * values))
    assert grown["std"] == pytest.approx(3 * number(start["std"]), rel=1e-4)
    for name in ("excess_kurtosis", "skewness", "gaussian_ks_distance", "near_zero_mass_0_1"):
        assert grown[name] == pytest.approx(number(start[name]), abs=2e-3)
    assert number(grown["dip_ratio"]) < 1
    assert grown["shape_class"] == start["shape_class"] == SHAPE_CLASSES.index("gaussian")
