"""Large float32 and float64 tensors, known to the nearest bfloat16: close, or no value."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.elements.element_table import (
    ROUNDED_QUANTILE_TOLERANCE,
    ROUNDED_SHAPE_TOLERANCE,
    ROUNDED_SHARE_TOLERANCE,
    ROUNDED_VALUE_TOLERANCE,
    element_statistics,
)
from bifurk_service.stats.value import UNRESOLVED, Value
from tests.stats.oracle import (
    expected_dip,
    expected_elements,
    expected_js_divergence,
    expected_shape,
)
from tests.stats.tensors import LAWS, distribution_of, exact, number, weights

SIZE = 40_000
SPREAD = (
    "std",
    "skewness",
    "excess_kurtosis",
    "gaussian_ks_distance",
    "gaussian_js_divergence",
    "asymmetry",
    "dip",
    "dip_ratio",
    "outlier_share",
    "body_std",
    "weibull_shape",
    "shape_class",
)


def from_rounded(values: NDArray[np.float64], dtype: str = "float32") -> dict[str, Value]:
    return element_statistics(distribution_of(exact(values, dtype), carried="counts"))


def tolerance(statistic: str, expected: float, rms: float) -> float:
    """How far from the truth a statistic from rounded counts may be."""
    if "quantile" in statistic:
        return ROUNDED_QUANTILE_TOLERANCE * abs(expected)
    if statistic in {"skewness", "excess_kurtosis"}:
        return ROUNDED_SHAPE_TOLERANCE * (1 + abs(expected))
    if statistic.startswith(("near_zero", "gaussian_ks", "dip")):
        return ROUNDED_SHARE_TOLERANCE
    if statistic == "mean":
        return ROUNDED_VALUE_TOLERANCE * rms
    exactly_known = {"count", "nonfinite_count", "zero_share"}
    return 0.0 if statistic in exactly_known else ROUNDED_VALUE_TOLERANCE * abs(expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", LAWS)
def test_every_statistic_is_within_its_tolerance(law: str, dtype: str) -> None:
    values = exact(weights(law, SIZE), dtype)
    actual = values.float64()
    expected = expected_elements(actual) | {"dip": expected_dip(actual)}
    statistics = element_statistics(distribution_of(values, carried="counts"))
    for name, truth in expected.items():
        allowed = tolerance(name, truth, expected["rms"])
        assert abs(number(statistics[name]) - truth) <= allowed, name


@pytest.mark.parametrize("law", [law for law in LAWS if law != "mostly zero"])
def test_symmetry_sparsity_and_divergence_are_within_their_tolerance(law: str) -> None:
    values = exact(weights(law, SIZE))
    actual = values.float64()
    expected = expected_shape(actual)
    statistics = from_rounded(actual)
    farthest = np.max(np.abs(np.quantile(actual, [0.001, 0.999]))) / np.std(actual)
    assert abs(number(statistics["asymmetry"]) - expected["asymmetry"]) <= (
        2 * ROUNDED_QUANTILE_TOLERANCE * farthest
    )
    for name in ("mean_to_std", "hoyer_sparsity"):
        allowed = ROUNDED_SHARE_TOLERANCE * (1 + abs(expected[name]))
        assert abs(number(statistics[name]) - expected[name]) <= allowed, name
    assert statistics["gaussian_js_divergence"] == pytest.approx(
        expected_js_divergence(actual), abs=ROUNDED_SHARE_TOLERANCE
    )


@pytest.mark.parametrize("law", ["gaussian", "laplace", "uniform", "student3", "triangular"])
def test_the_std_of_usual_weights_is_right_to_four_digits(law: str) -> None:
    values = weights(law, SIZE)
    assert from_rounded(values)["std"] == pytest.approx(np.std(values), rel=5e-5)


def test_the_median_near_zero_is_finer_than_the_grid_elsewhere() -> None:
    values = weights("gaussian", SIZE)
    error = number(from_rounded(values)["quantile_p50"]) - float(np.median(values))
    assert abs(error) < 1e-6 * np.std(values)


@pytest.mark.parametrize("std", [0.0005, 0.001, 0.003])
def test_gains_near_one_have_no_spread_from_rounded_counts(std: float) -> None:
    statistics = from_rounded(1 + std * np.random.default_rng(0).normal(size=SIZE))
    assert {statistics[name] for name in SPREAD} == {UNRESOLVED}
    assert statistics["quantile_p50"] == pytest.approx(1.0, rel=ROUNDED_QUANTILE_TOLERANCE)
    assert statistics["rms"] == pytest.approx(1.0, rel=ROUNDED_VALUE_TOLERANCE)


@pytest.mark.parametrize("std", [0.0005, 0.001, 0.003])
def test_gains_near_one_are_measured_from_exact_values(std: float) -> None:
    gains = 1 + std * np.random.default_rng(0).normal(size=768)
    statistics = element_statistics(distribution_of(exact(gains), carried="values"))
    assert statistics["std"] == pytest.approx(np.std(gains), abs=1e-8)


def test_equal_rounded_values_may_differ_so_their_spread_is_not_zero_but_unknown() -> None:
    assert from_rounded(np.full(SIZE, 0.1))["std"] == UNRESOLVED
