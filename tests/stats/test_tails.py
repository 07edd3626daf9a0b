"""Weibull fits, truncated bodies and outliers against direct computation and known laws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from bifurk_service.stats.elements.element_table import (
    ROUNDED_OUTLIER_TOLERANCE,
    ROUNDED_WEIBULL_TOLERANCE,
    element_statistics,
)
from bifurk_service.stats.elements.tails import truncation_ratio
from bifurk_service.stats.elements.weibull import fitted_ranks
from tests.stats.oracle import expected_shape, expected_weibull
from tests.stats.tensors import distribution_of, exact, number, weights

MANY = 1_000_000
DEFINED = ("gaussian", "laplace", "student3", "student2", "logistic", "triangular", "scale mixture")


@pytest.mark.parametrize(
    ("law", "shape"),
    [("gaussian", 1.2054), ("laplace", 1.000), ("uniform", 1.372)],
)
def test_the_weibull_shape_of_known_laws(law: str, shape: float) -> None:
    statistics = element_statistics(distribution_of(exact(weights(law, MANY)), carried="counts"))
    assert statistics["weibull_shape"] == pytest.approx(shape, rel=0.003)


def test_a_student_with_four_degrees_has_a_weibull_shape_of_1_134() -> None:
    values = np.random.default_rng(9).standard_t(4, MANY)
    statistics = element_statistics(distribution_of(exact(values), carried="counts"))
    assert statistics["weibull_shape"] == pytest.approx(1.134, rel=0.003)


def test_the_weibull_scale_of_a_half_normal() -> None:
    statistics = element_statistics(
        distribution_of(exact(weights("half normal", MANY)), carried="counts")
    )
    assert statistics["weibull_scale"] == pytest.approx(0.8875 * 0.02, rel=0.003)


def test_pooling_scales_moves_the_weibull_shape_which_is_why_shapes_are_not_pooled() -> None:
    rng = np.random.default_rng(2)
    pooled = rng.normal(size=MANY) * np.exp(rng.normal(0, 0.35, MANY))
    statistics = element_statistics(distribution_of(exact(pooled), carried="counts"))
    assert number(statistics["weibull_shape"]) < 1.17


@pytest.mark.parametrize("size", [1, 2, 3, 5, 10, 15, 31, 35, 999, 16_384, 40_000])
def test_the_fitted_ranks_are_those_of_the_definition(size: int) -> None:
    share = (np.arange(1, size + 1) - 0.5) / size
    inside = np.flatnonzero((share >= 0.1) & (share <= 0.9)) + 1
    first, last = fitted_ranks(np.array([size]))
    assert (first[0], last[0]) == (inside[0], inside[-1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("size", [17_000, 300_000])
def test_few_distinct_magnitudes_of_many_elements_fit_as_if_each_were_sorted(
    size: int, dtype: str
) -> None:
    values = exact(np.random.default_rng(1).choice([1.0, 2.0, 2.5, 7.0], size), dtype)
    statistics = element_statistics(distribution_of(values, carried="counts"))
    shape, scale = expected_weibull(values.float64())
    assert statistics["weibull_shape"] == pytest.approx(shape, rel=1e-9)
    assert statistics["weibull_scale"] == pytest.approx(scale, rel=1e-9)


@pytest.mark.parametrize("size", [20_000, 300_000])
@pytest.mark.parametrize("law", [*DEFINED, "lognormal"])
def test_rounded_counts_fit_as_the_weights_do(law: str, size: int) -> None:
    values = exact(weights(law, size))
    statistics = element_statistics(distribution_of(values, carried="counts"))
    expected = expected_shape(values.float64())
    for name in ("weibull_shape", "weibull_scale"):
        assert statistics[name] == pytest.approx(expected[name], rel=ROUNDED_WEIBULL_TOLERANCE)
    assert statistics["outlier_share"] == pytest.approx(
        expected["outlier_share"], abs=ROUNDED_OUTLIER_TOLERANCE
    )


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 9.9, 12.0, 300.0])
def test_a_truncated_normal_is_found_by_its_variance(ratio: float) -> None:
    variance = scipy.stats.truncnorm.var(-ratio, ratio) / ratio**2
    assert truncation_ratio(np.array([variance]))[0] == pytest.approx(ratio, rel=1e-9)


def test_what_is_flatter_than_a_uniform_is_cut_at_nothing() -> None:
    assert truncation_ratio(np.array([1 / 3, 0.4, 1.0])).tolist() == [0.0, 0.0, 0.0]


def test_a_truncated_gaussian_with_outliers_is_taken_apart() -> None:
    body = scipy.stats.truncnorm.rvs(-2, 2, size=200_000, random_state=4)
    values = np.append(body, np.full(1_000, 30.0))
    statistics = element_statistics(distribution_of(exact(values), carried="counts"))
    assert statistics["outlier_share"] == pytest.approx(1_000 / 201_000, rel=1e-9)
    assert statistics["truncation_ratio"] == pytest.approx(2, rel=0.02)
    assert statistics["body_std"] == pytest.approx(1, rel=0.02)
