"""The spectrum of a product of two factors is that of the product, which nobody built."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from bifurk.exact import Exact
from bifurk.wire import Product
from bifurk_service.stats.measure import TensorInput
from bifurk_service.stats.products import MeasuredProduct, product_spectrum, products_of
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.spectra.matrix_spectrum import MatrixSpectrum
from bifurk_service.stats.value import ALL_ZERO, NOT_FINITE, TOO_LARGE, NoValue, Value

RNG = np.random.default_rng(7)
REACH = 1e-12
"""Of singular values, relative to the largest."""

FACTORS = {
    "adapter": (RNG.normal(size=(300, 8)), RNG.normal(size=(8, 200))),
    "of rank one": (RNG.normal(size=(50, 1)), RNG.normal(size=(1, 60))),
    "wider than tall": (RNG.normal(size=(3, 20)), RNG.normal(size=(20, 40))),
    "graded": (
        RNG.normal(size=(90, 6)) * 10.0 ** -np.arange(6),
        RNG.normal(size=(6, 70)),
    ),
    "dependent": (np.ones((40, 4)), RNG.normal(size=(4, 30))),
}


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("scale", [1.0, -2.5, 1e-3])
def test_singular_values_and_ranks_are_those_of_the_product(
    factors: tuple[np.ndarray, np.ndarray], scale: float
) -> None:
    left, right = factors
    spectrum = product_spectrum(left, right, scale=scale)
    assert isinstance(spectrum, MatrixSpectrum)
    built = scale * (left @ right)
    expected = np.linalg.svd(built, compute_uv=False)
    found = spectrum.singular_values
    assert (spectrum.rows, spectrum.columns) == built.shape
    assert found.size <= min(*left.shape, *right.shape)
    np.testing.assert_allclose(found, expected[: found.size], rtol=0, atol=REACH * expected[0])
    assert np.all(expected[found.size :] <= REACH * expected[0])
    energy = float(np.square(built).sum())
    assert spectrum.statistics["stable_rank"] == pytest.approx(energy / expected[0] ** 2)
    assert spectrum.statistics["spectral_norm"] == pytest.approx(expected[0])


def tensor(values: np.ndarray, shape: tuple[int, ...] | None = None) -> TensorInput:
    exact = Exact(dtype="float64", data=values.astype("<f8").ravel())
    return TensorInput(shape=shape or values.shape, dtype="float64", values=exact)


def measured(left: TensorInput, right: TensorInput | None) -> list[MeasuredProduct]:
    tensors = {"l": left} | ({} if right is None else {"r": right})
    return list(products_of({"l": Product(right="r", scale=2.0)}, tensors))


def test_every_statistic_has_a_value_or_says_why_not() -> None:
    left, right = FACTORS["adapter"]
    [product] = measured(tensor(left), tensor(right))
    assert (product.name, product.of, product.shape) == ("l[product]", "l", (300, 200))
    assert list(product.values) == [statistic.name for statistic in STATISTICS]
    built = 2.0 * left @ right
    assert number(product.values, "l2_norm") == pytest.approx(np.linalg.norm(built))
    assert number(product.values, "rms") == pytest.approx(np.sqrt(np.mean(built**2)))
    assert product.values["count"] == 60_000.0
    without = {name for name, value in product.values.items() if isinstance(value, NoValue)}
    assert {"std", "update_ratio", "mp_sigma"} <= without
    assert isinstance(product.spectrum, MatrixSpectrum)
    assert "no_verdict" in product.spectrum.document()["raw"]


def number(values: Mapping[str, Value], name: str) -> float:
    value = values[name]
    assert isinstance(value, float)
    return value


def test_factors_of_convolutions_are_read_as_first_axis_by_rest() -> None:
    left, right = RNG.normal(size=(16, 4)), RNG.normal(size=(4, 27))
    [flat] = measured(tensor(left), tensor(right))
    [folded] = measured(tensor(left, (16, 4, 1, 1)), tensor(right, (4, 3, 3, 3)))
    assert folded.values == flat.values


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (tensor(np.ones((4, 2))), None),
        (tensor(np.ones((4, 2))), tensor(np.ones((3, 5)))),
        (tensor(np.ones(4)), tensor(np.ones((2, 5)))),
        (tensor(np.ones((4, 2))), TensorInput(shape=(2, 5), dtype="float64")),
        (tensor(np.ones((4, 1)), (4, 2)), tensor(np.ones((2, 5)))),
    ],
    ids=["missing", "of another rank", "no matrix", "not sent", "not whole"],
)
def test_factors_that_are_not_both_there_or_do_not_fit_make_nothing(
    left: TensorInput, right: TensorInput | None
) -> None:
    assert measured(left, right) == []


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (np.zeros((4, 2)), ALL_ZERO),
        (np.array([[np.nan, 1.0]] * 4), NOT_FINITE),
        (np.array([[np.inf, 1.0]] * 4), NOT_FINITE),
        (np.full((4, 2), 1e300), TOO_LARGE),
    ],
    ids=["zero", "nan", "infinite", "beyond float64"],
)
def test_a_product_without_a_spectrum_says_why(left: np.ndarray, reason: NoValue) -> None:
    [product] = measured(tensor(left), tensor(np.full((2, 5), 1e300 if left.max() == 1e300 else 1)))
    assert product.values["stable_rank"] == reason
