"""Densities to draw: they integrate to what they cover, and show the values, not the grid."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bifurk_service.stats.distributions.density import (
    Density,
    DensityUnit,
    density,
    nothing_to_draw,
)
from bifurk_service.stats.distributions.distribution import from_values
from bifurk_service.stats.value import ALL_EQUAL, ALL_ZERO, EMPTY, NO_FINITE, NoValue
from tests.stats.tensors import DTYPES, LAWS, distribution_of, exact, weights

UNITS: tuple[DensityUnit, ...] = ("weight", "sigma", "log_magnitude")


def mass(drawn: Density) -> float:
    return float(drawn.density @ np.diff(drawn.edges))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("carried", ["values", "counts"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
def test_the_density_integrates_to_one_or_to_what_is_not_zero(
    law: str, dtype: str, carried: str, unit: DensityUnit
) -> None:
    values = exact(weights(law, 3_000), dtype)
    drawn = density(distribution_of(values, carried=carried), bins=77, unit=unit)
    zeros = int(np.count_nonzero(values.float64() == 0.0))
    share = 1 - zeros / 3_000 if unit == "log_magnitude" else 1.0
    assert drawn.covered == pytest.approx(share, abs=1e-12)
    assert mass(drawn) == pytest.approx(drawn.covered, abs=1e-9)
    assert (drawn.finite, drawn.nonfinite) == (3_000, 0)
    if dtype in {"bfloat16", "float16"} or carried == "values":
        assert drawn.zeros == zeros


@pytest.mark.parametrize("unit", UNITS)
def test_of_exact_values_it_is_numpys_histogram(unit: DensityUnit) -> None:
    w = weights("laplace", 5_000)
    in_unit = {"weight": w, "sigma": w / np.std(w), "log_magnitude": np.log10(np.abs(w))}[unit]
    low, high = np.quantile(in_unit, [0.02, 0.97])
    drawn = density(
        distribution_of(exact(w, "float64"), carried="values"),
        bins=40,
        unit=unit,
        low=float(low),
        high=float(high),
    )
    expected, edges = np.histogram(in_unit, bins=40, range=(low, high))
    assert drawn.edges == pytest.approx(edges, rel=1e-12)
    assert drawn.density * np.diff(edges) * 5_000 == pytest.approx(expected, abs=1e-6)
    assert drawn.covered == pytest.approx(expected.sum() / 5_000)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_bins_finer_than_the_number_grid_show_no_comb(dtype: str) -> None:
    w = exact(weights("gaussian", 400_000), dtype)
    drawn = density(
        distribution_of(w, carried="counts"), bins=4_000, unit="sigma", low=1.0, high=2.0
    )
    assert drawn.density.min() > 0.0
    middles = (drawn.edges[1:] + drawn.edges[:-1]) / 2
    assert drawn.density == pytest.approx(scipy.stats.norm.pdf(middles), abs=0.05)


@pytest.mark.parametrize("carried", ["values", "counts"])
def test_the_extremes_of_sixteen_bit_values_are_the_edges(carried: str) -> None:
    w = exact(weights("gaussian", 5_000), "bfloat16")
    drawn = density(distribution_of(w, carried=carried), bins=8, unit="weight")
    assert (drawn.edges[0], drawn.edges[-1]) == (w.float64().min(), w.float64().max())


def test_rounded_extremes_reach_to_where_the_true_ones_may_lie() -> None:
    w = exact(weights("gaussian", 5_000))
    drawn = density(distribution_of(w, carried="counts"), bins=8, unit="weight")
    assert drawn.edges[0] <= w.float64().min()
    assert drawn.edges[-1] >= w.float64().max()


def test_the_log_density_from_counts_is_that_of_the_values_per_decade() -> None:
    rng = np.random.default_rng(1)
    w = exact(rng.choice([-1, 1], 300_000) * 10 ** rng.normal(-2, 0.3, 300_000))
    drawn = density(
        distribution_of(w, carried="counts"), bins=30, unit="log_magnitude", low=-3, high=-1
    )
    heights, _ = np.histogram(np.log10(np.abs(w.float64())), bins=drawn.edges)
    assert drawn.density == pytest.approx(heights / 300_000 / np.diff(drawn.edges), abs=0.005)


def test_values_outside_the_edges_are_not_covered_and_the_last_edge_is_closed() -> None:
    values = distribution_of(exact([0.0, 1.0, 2.0, 3.0, 4.0]), carried="values")
    drawn = density(values, bins=2, unit="weight", low=1.0, high=3.0)
    assert drawn.covered == pytest.approx(3 / 5)
    assert drawn.density.tolist() == pytest.approx([1 / 5, 2 / 5])


@pytest.mark.parametrize("value", [0.0, 0.02, -3.0, 1e300, 5e-324])
@pytest.mark.parametrize("unit", UNITS)
def test_a_single_value_has_room_around_it(value: float, unit: DensityUnit) -> None:
    values = distribution_of(exact([value, value], "float64"), carried="values")
    drawn = density(values, bins=16, unit=unit)
    assert drawn.covered == (0.0 if unit == "log_magnitude" and value == 0.0 else 1.0)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_finite_is_drawn_as_nothing(dtype: str, unit: DensityUnit) -> None:
    nothing = distribution_of(exact([np.nan, np.inf], dtype), carried="values")
    drawn = density(nothing, bins=4, unit=unit)
    assert (drawn.covered, drawn.finite, drawn.nonfinite) == (0.0, 0, 2)
    assert not drawn.density.any()


@pytest.mark.parametrize(
    ("bins", "low", "high", "said"),
    [
        (0, None, None, "at least 1 bin"),
        (4, 1.0, 1.0, "low must be below high"),
        (4, 2.0, -1.0, "low must be below high"),
        (4, np.nan, 1.0, "finite"),
        (4, -np.inf, 1.0, "finite"),
        (4, -1.7e308, 1.7e308, "further apart"),
        (4_096, 1.0, 1.0 + 1e-15, "too thin"),
        (4, 0.0, 5e-324, "too thin"),
    ],
)
def test_impossible_edges_are_named(
    bins: int, low: float | None, high: float | None, said: str
) -> None:
    values = distribution_of(exact([0.0, 1.0]), carried="values")
    with pytest.raises(ValueError, match=said):
        density(values, bins=bins, low=low, high=high)


@pytest.mark.parametrize(("low", "high"), [(5.0, None), (None, -5.0)])
def test_one_edge_beyond_the_values_draws_what_is_there(
    low: float | None, high: float | None
) -> None:
    values = distribution_of(exact([0.0, 1.0]), carried="values")
    drawn = density(values, bins=3, low=low, high=high)
    assert drawn.covered == 0.0
    assert (drawn.edges[0] == low) or (drawn.edges[-1] == high)


@given(bits=arrays(np.uint16, st.integers(0, 60)), unit=st.sampled_from(UNITS))
@settings(max_examples=80, deadline=None)
def test_any_sixteen_bit_pattern_is_drawn_whole(bits: NDArray[np.uint16], unit: str) -> None:
    values = exact(bits.view(np.float16).astype(np.float64), "float16")
    drawn = density(distribution_of(values, carried="counts"), bins=9, unit=unit)  # type: ignore[arg-type]
    zeros = drawn.zeros if unit == "log_magnitude" else 0
    whole = (drawn.finite - zeros) / max(1, drawn.finite)
    assert drawn.covered == pytest.approx(whole, abs=1e-12)
    assert np.isfinite(drawn.density).all()


@pytest.mark.parametrize(
    ("values", "unit", "reason"),
    [
        ([np.nan, np.inf], "weight", NO_FINITE),
        ([], "weight", EMPTY),
        ([0.25] * 9, "sigma", ALL_EQUAL),
        ([0.0] * 9, "log_magnitude", ALL_ZERO),
        ([0.25] * 9, "weight", None),
        ([0.0, 1.0], "log_magnitude", None),
    ],
)
def test_what_has_no_density_says_why(
    values: list[float], unit: DensityUnit, reason: NoValue | None
) -> None:
    assert nothing_to_draw(from_values(exact(values)), unit) is reason
