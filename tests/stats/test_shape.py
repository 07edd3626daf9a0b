"""Shape classes: what laws are called, from the numbers that are stored, and how surely."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from bifurk_service.stats.elements import shape
from bifurk_service.stats.elements.element_table import element_statistics
from bifurk_service.stats.elements.shape_fits import coarse, laplace_gain, mixture, student_gain
from bifurk_service.stats.elements.stack import Stack, stack
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from bifurk_service.stats.value import UNRESOLVED, Value
from tests.stats.tensors import distribution_of, exact, number, weights

SIZE = 100_000
STUDENT_TOLERANCE = 2e-3
"""Nats per element, for degrees between those tried and four cells an octave."""


def class_of(statistics: dict[str, Value]) -> str:
    return SHAPE_CLASSES[int(number(statistics["shape_class"]))]


def measured(values: NDArray[np.float64], dtype: str = "float32") -> dict[str, Value]:
    carried = "values" if values.size <= 16_384 else "counts"
    return element_statistics(distribution_of(exact(values, dtype), carried=carried))


LAWS = [
    ("gaussian", "gaussian"),
    ("laplace", "laplace_like"),
    ("logistic", "laplace_like"),
    ("uniform", "flat"),
    ("triangular", "flat"),
    ("scale mixture", "scale_mixture"),
    ("mostly zero", "scale_mixture"),
]


@pytest.mark.parametrize("size", [3_000, SIZE])
@pytest.mark.parametrize(("law", "name"), LAWS)
def test_known_laws_have_their_class(law: str, name: str, size: int) -> None:
    for seed in range(3):
        statistics = measured(weights(law, size, seed=seed))
        assert class_of(statistics) == name, statistics
        assert 0 < number(statistics["shape_margin"]) <= 1.5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_two_modes_are_multimodal_whatever_else_they_are(dtype: str) -> None:
    rng = np.random.default_rng(5)
    values = 0.02 * (rng.normal(size=SIZE) + 2 * rng.choice([-1, 1], SIZE))
    assert class_of(measured(values, dtype)) == "multimodal"


def test_a_skewed_law_without_heavy_tails_is_of_no_class() -> None:
    assert class_of(measured(np.random.default_rng(1).beta(2, 4, SIZE))) == "other"


@pytest.mark.parametrize(
    "values", [np.zeros(900), np.full(900, 0.3), np.arange(31.0), np.tile(np.arange(31.0), 99)]
)
def test_under_thirty_two_distinct_values_are_degenerate(values: NDArray[np.float64]) -> None:
    statistics = measured(values)
    assert class_of(statistics) == "degenerate"
    assert statistics["shape_margin"] == (32 - np.unique(values).size) / 32


def test_thirty_two_distinct_values_are_not() -> None:
    assert class_of(measured(np.tile(np.arange(32.0), 99))) != "degenerate"


def test_a_16_bit_grid_coarser_than_the_class_needs_gives_none() -> None:
    rng = np.random.default_rng(3)
    grid = measured(1 + 0.1 * rng.normal(size=3_000), "bfloat16")
    assert grid["shape_class"] == grid["shape_margin"] == UNRESOLVED
    assert class_of(measured(1 + 0.3 * rng.normal(size=3_000), "bfloat16")) == "gaussian"


def test_the_margin_of_a_gaussian_follows_from_the_stored_numbers() -> None:
    statistics = measured(weights("gaussian", 3_000))
    slacks = [
        1 - abs(number(statistics["skewness"])) / 0.1,
        1 - abs(number(statistics["excess_kurtosis"])) / 0.5,
        1 - number(statistics["gaussian_ks_distance"]) / 0.02,
        1 - number(statistics["dip_ratio"]),
    ]
    assert statistics["shape_margin"] == pytest.approx(min(slacks), rel=1e-12)


def test_the_margin_of_a_laplace_is_to_the_nearest_of_its_two_kurtoses() -> None:
    statistics = measured(weights("laplace", SIZE))
    kurtosis = number(statistics["excess_kurtosis"])
    assert statistics["shape_margin"] == pytest.approx(1 - kurtosis / 6, rel=1e-12)


def test_the_margin_vanishes_where_the_class_changes() -> None:
    rng = np.random.default_rng(8)
    margins = []
    for degrees in (10.0, 14.0, 17.0, 20.0, 40.0):
        statistics = measured(rng.standard_t(degrees, SIZE))
        margins.append((class_of(statistics), number(statistics["shape_margin"])))
    names = [name for name, _ in margins]
    assert names[0] == "laplace_like"
    assert names[-1] == "gaussian"
    assert min(margin for _, margin in margins) < 0.2


def alone(values: NDArray[np.float64]) -> tuple[Stack, NDArray[np.float64], NDArray[np.float64]]:
    """The stack of one tensor, its median and its std there."""
    tensors = stack([distribution_of(exact(values, "float64"), carried="values")])
    scaled = np.ldexp(values, -tensors.exponent[0])
    return tensors, np.array([np.median(scaled)]), np.array([np.std(scaled)])


@pytest.mark.parametrize("law", ["laplace", "logistic", "gaussian", "triangular"])
def test_the_laplace_s_gain_is_scipy_s(law: str) -> None:
    values = weights(law, 20_000)
    expected = np.mean(
        scipy.stats.laplace.logpdf(values, *scipy.stats.laplace.fit(values))
    ) - np.mean(scipy.stats.norm.logpdf(values, *scipy.stats.norm.fit(values)))
    assert laplace_gain(*alone(values))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("degrees", [3, 5, 10])
def test_the_student_s_gain_is_a_close_lower_bound_of_the_best_one(degrees: int) -> None:
    values = np.random.default_rng(degrees).standard_t(degrees, 20_000)
    tensors, median, std = alone(values)

    def loss(parameters: NDArray[np.float64]) -> float:
        nu, scale = np.exp(parameters)
        return -float(np.mean(scipy.stats.t.logpdf(values, nu, np.median(values), scale)))

    best = scipy.optimize.minimize(loss, np.log([degrees, 1.0]), method="Nelder-Mead").fun
    normal = np.mean(scipy.stats.norm.logpdf(values, *scipy.stats.norm.fit(values)))
    expected = -best - normal - 1 / values.size
    gain = student_gain(coarse(tensors, median, std), tensors.sizes)[0]
    assert gain == pytest.approx(expected, abs=STUDENT_TOLERANCE)


def test_the_mixture_finds_the_two_gaussians_that_were_mixed() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400_000) * np.where(rng.uniform(size=400_000) < 0.03, 3, 0.2)
    tensors, median, std = alone(values)
    fit = mixture(coarse(tensors, median, std), np.array([0.3]))
    assert fit.std_ratio[0] == pytest.approx(15, rel=0.05)
    assert fit.minor_weight[0] == pytest.approx(0.03, rel=0.05)


def test_the_order_of_the_classes_is_the_registry_s() -> None:
    assert set(SHAPE_CLASSES) == {
        "degenerate",
        "multimodal",
        "gaussian",
        "scale_mixture",
        "laplace_like",
        "flat",
        "other",
    }
    assert shape.MIXTURE_KURTOSIS > shape.GAUSSIAN_KURTOSIS
