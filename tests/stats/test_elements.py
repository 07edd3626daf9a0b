"""Element statistics: equal to numpy and scipy on the weights themselves."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.sketch import merge
from bifurk_service.stats.distributions.distribution import from_counts
from bifurk_service.stats.elements.element_table import (
    dip_threshold,
    element_statistics,
    element_table,
)
from bifurk_service.stats.registry import STATISTICS, Family, names_of
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from bifurk_service.stats.value import (
    ALL_EQUAL,
    EMPTY,
    NO_FINITE,
    TOO_LARGE,
    UNRESOLVED,
    NoValue,
    Value,
)
from tests.stats.oracle import (
    QUANTILES,
    expected_dip,
    expected_elements,
    expected_js_divergence,
    expected_shape,
)
from tests.stats.tensors import DTYPES, LAWS, counted, distribution_of, exact, number, weights

RELATIVE = 1e-12
"""Sums of up to 10^5 float64 products, in another order than numpy's."""
SOLVED_RELATIVE = 1e-9
"""An equation solved by both sides, from a variance known to ``RELATIVE``."""
WEIBULL_RELATIVE = 1e-9
"""Sums over the ranks of equal values in closed form: measured up to 2e-11."""

EXACT_WAYS = [
    *((dtype, "values") for dtype in DTYPES),
    ("bfloat16", "counts"),
    ("float16", "counts"),
]

TENSORS: dict[str, NDArray[np.float64]] = {law: weights(law, 5_000) for law in LAWS} | {
    "two values": np.where(np.random.default_rng(0).uniform(size=999) < 0.3, -1.0, 1.0),
    "one huge outlier": np.append(weights("gaussian", 3_000), 1e4),
    "two elements": np.array([0.25, -3.0]),
    "thirty-one elements": weights("gaussian", 31),
    "lossless grid coarser than the spread": 1 + weights("gaussian", 768) / 4,
}
EXTREME_TENSORS: dict[str, NDArray[np.float64]] = {law: weights(law, 5_000) for law in LAWS} | {
    "smallest numbers": 1e-40 * np.random.default_rng(1).integers(-9, 9, 500),
    "largest numbers": np.array([3e38, -3e38, 1e38, 2e38]),
}
CASES = [
    *((name, *way) for name in TENSORS for way in EXACT_WAYS),
    *((name, *way) for name in EXTREME_TENSORS for way in EXACT_WAYS if way[0] != "float16"),
]


def measured(values: NDArray[np.float64], dtype: str, carried: str) -> dict[str, Value]:
    return element_statistics(distribution_of(exact(values, dtype), carried=carried))


@cache
def expected_of(name: str, dtype: str) -> dict[str, float]:
    return expected_elements(exact((TENSORS | EXTREME_TENSORS)[name], dtype).float64())


@cache
def expected_shape_of(law: str, size: int, dtype: str) -> dict[str, float]:
    return expected_shape(exact(weights(law, size), dtype).float64())


@pytest.mark.parametrize(("name", "dtype", "carried"), CASES)
def test_exact_elements_equal_numpy_and_scipy(name: str, dtype: str, carried: str) -> None:
    values = exact((TENSORS | EXTREME_TENSORS)[name], dtype)
    actual = values.float64()
    statistics = element_statistics(distribution_of(values, carried=carried))
    for statistic, expected in expected_of(name, dtype).items():
        assert number(statistics[statistic]) == pytest.approx(
            expected, rel=RELATIVE, abs=_absolute(statistic, actual)
        ), statistic


@pytest.mark.parametrize(("dtype", "carried"), EXACT_WAYS)
@pytest.mark.parametrize("size", [31, 5_000, 40_000])
@pytest.mark.parametrize("law", [law for law in LAWS if law not in {"uniform", "mostly zero"}])
def test_exact_shape_tails_and_symmetry_equal_their_oracle(
    law: str, size: int, dtype: str, carried: str
) -> None:
    values = exact(weights(law, size), dtype)
    statistics = element_statistics(distribution_of(values, carried=carried))
    for statistic, expected in expected_shape_of(law, size, dtype).items():
        allowed = WEIBULL_RELATIVE if statistic.startswith("weibull") else SOLVED_RELATIVE
        assert number(statistics[statistic]) == pytest.approx(
            expected, rel=allowed, abs=RELATIVE
        ), statistic


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", LAWS)
def test_the_js_divergence_of_exact_values_equals_scipy(law: str, dtype: str) -> None:
    values = exact(weights(law, 5_000), dtype)
    statistics = element_statistics(distribution_of(values, carried="values"))
    expected = expected_js_divergence(values.float64())
    assert statistics["gaussian_js_divergence"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_js_divergence_does_not_see_a_16_bit_grid() -> None:
    values = exact(5 + 0.4 * np.random.default_rng(4).normal(size=200_000), "bfloat16")
    statistics = element_statistics(distribution_of(values, carried="counts"))
    assert expected_js_divergence(values.float64()) > 0.1
    assert number(statistics["gaussian_js_divergence"]) < 1e-3


def _absolute(statistic: str, values: NDArray[np.float64]) -> float:
    """What cancellation leaves of a sum whose terms are of this size."""
    if statistic == "mean":
        return RELATIVE * float(np.sqrt(np.mean(values**2)))
    return RELATIVE if statistic in {"skewness", "excess_kurtosis", "gaussian_ks_distance"} else 0.0


@pytest.mark.parametrize(("dtype", "carried"), EXACT_WAYS)
@pytest.mark.parametrize("size", [1, 2, 31, 4_999])
def test_exact_quantiles_equal_numpy_to_the_last_bit(dtype: str, carried: str, size: int) -> None:
    values = exact(weights("student3", size), dtype)
    statistics = element_statistics(distribution_of(values, carried=carried))
    for name, probability in QUANTILES.items():
        assert statistics[name] == np.quantile(values.float64(), probability), name
    for name, probability in {"abs_quantile_p50": 0.5, "abs_quantile_p99": 0.99}.items():
        assert statistics[name] == np.quantile(np.abs(values.float64()), probability), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [31, 768, 2_000, 3_776])
def test_the_dip_of_exact_values_equals_the_reference(dtype: str, size: int) -> None:
    values = exact(weights("gaussian", size), dtype)
    statistics = element_statistics(distribution_of(values, carried="values"))
    expected = expected_dip(values.float64())
    assert statistics["dip"] == pytest.approx(expected, abs=1e-12)
    assert statistics["dip_ratio"] == pytest.approx(expected / dip_threshold(size), abs=1e-9)


def test_small_bfloat16_tensors_measure_the_same_as_values_and_as_counts() -> None:
    values = weights("laplace", 3_000)
    assert measured(values, "bfloat16", "values") == measured(values, "bfloat16", "counts")


@pytest.mark.parametrize("dtype", DTYPES)
def test_shards_counted_apart_measure_as_the_whole(dtype: str) -> None:
    values = weights("student3", 30_000)
    pieces = [counted(exact(piece, dtype)) for piece in np.split(values, [11, 7_000, 7_000])]
    merged = element_statistics(from_counts(merge(pieces), dtype=dtype))
    assert merged == measured(values, dtype, "counts")


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_that_are_not_finite_are_counted_and_left_out(dtype: str) -> None:
    finite = weights("gaussian", 1_000)
    mixed = np.concatenate([[np.nan, np.inf], finite, [-np.inf, np.nan]])
    expected = measured(finite, dtype, "values") | {"count": 1_004.0, "nonfinite_count": 4.0}
    assert measured(mixed, dtype, "values") == expected
    if dtype in {"bfloat16", "float16"}:
        assert measured(mixed, dtype, "counts") == expected


@pytest.mark.parametrize("carried", ["values", "counts"])
def test_without_a_finite_element_only_the_counts_remain(carried: str) -> None:
    statistics = measured(np.array([np.nan, np.inf, np.nan]), "float32", carried)
    assert statistics.pop("count") == 3.0
    assert statistics.pop("nonfinite_count") == 3.0
    assert set(statistics.values()) == {NO_FINITE}


@pytest.mark.parametrize("carried", ["values", "counts"])
def test_an_empty_tensor_says_so(carried: str) -> None:
    statistics = measured(np.array([]), "bfloat16", carried)
    assert statistics.pop("count") == 0.0
    assert statistics.pop("nonfinite_count") == 0.0
    assert set(statistics.values()) == {EMPTY}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("constant", [0.0, 1.0, -0.1])
def test_equal_values_have_no_spread_and_no_shape(dtype: str, constant: float) -> None:
    statistics = measured(np.full(768, constant), dtype, "values")
    assert statistics["std"] == 0.0
    assert statistics["mean"] == statistics["quantile_p99"] == statistics["max"]
    shape = ("skewness", "gaussian_ks_distance", "dip_ratio", "outlier_share", "weibull_shape")
    assert {statistics[name] for name in shape} == {ALL_EQUAL}
    assert statistics["shape_class"] == SHAPE_CLASSES.index("degenerate")


def test_all_zero_is_known_to_be_constant_even_from_rounded_counts() -> None:
    statistics = measured(np.zeros(20_000), "float32", "counts")
    assert (statistics["std"], statistics["zero_share"], statistics["l2_norm"]) == (0.0, 1.0, 0.0)
    assert statistics["dip"] == ALL_EQUAL


def test_the_dip_says_nothing_where_a_16_bit_grid_is_coarser_than_the_spread() -> None:
    statistics = measured(1 + weights("gaussian", 768) / 4, "bfloat16", "values")
    assert statistics["dip"] == statistics["dip_ratio"] == UNRESOLVED
    assert number(statistics["std"]) > 0


@pytest.mark.parametrize("exponent", [-60, -3, 40])
def test_a_change_of_unit_by_a_power_of_two_changes_only_what_has_a_unit(exponent: int) -> None:
    values = weights("student3", 4_000).astype(np.float32).astype(np.float64)
    before = measured(values, "float64", "values")
    after = measured(np.ldexp(values, exponent), "float64", "values")
    units = {s.name: s.unit for s in STATISTICS if s.family is Family.ELEMENTS}
    for name, unit in units.items():
        if isinstance(before[name], NoValue):
            assert after[name] == before[name], name
        else:
            factor = 2.0**exponent if unit == "weight" else 1.0
            assert after[name] == number(before[name]) * factor, name


def test_a_change_of_sign_mirrors_the_distribution() -> None:
    values = weights("lognormal", 4_000)
    before, after = (measured(v, "bfloat16", "counts") for v in (values, -values))
    for name in ("mean", "skewness"):
        assert number(after[name]) == pytest.approx(-number(before[name]), rel=1e-12)
    for name in ("std", "l1_norm", "excess_kurtosis", "abs_quantile_p99", "near_zero_mass_0_1"):
        assert number(after[name]) == pytest.approx(number(before[name]), rel=1e-12)
    assert number(after["quantile_p1"]) == pytest.approx(-number(before["quantile_p99"]), rel=1e-12)
    assert after["min"] == -number(before["max"])


def test_a_tiny_spread_about_a_large_mean_keeps_its_digits() -> None:
    values = 1e12 + np.random.default_rng(8).normal(size=2_000)
    expected = expected_elements(values - 1e12)
    statistics = measured(values, "float64", "values")
    for name in ("std", "skewness", "excess_kurtosis"):
        assert statistics[name] == pytest.approx(expected[name], rel=1e-10), name


def test_norms_beyond_float64_have_no_value_rather_than_a_wrong_one() -> None:
    statistics = measured(np.array([1e308, 1.5e308] * 32), "float64", "values")
    assert statistics["l1_norm"] == TOO_LARGE
    assert number(statistics["rms"]) == pytest.approx(1.274754878398196e308)


def test_a_table_of_many_tensors_equals_tables_of_one() -> None:
    rng = np.random.default_rng(5)
    distributions = [
        distribution_of(exact(scale * weights(law, size), dtype), carried=carried)
        for law in LAWS
        for size in (1, 2, 31, 768, 3_000, 20_000)
        for dtype, carried in [*EXACT_WAYS, ("float32", "counts")]
        for scale in (2.0 ** rng.integers(-20, 8),)
    ]
    distributions.append(distribution_of(exact(np.array([])), carried="values"))
    table, reasons = element_table(distributions)
    assert table.shape == (len(distributions), len(names_of(Family.ELEMENTS)))
    for row, distribution in enumerate(distributions):
        [alone], [why] = element_table([distribution])
        np.testing.assert_array_equal(table[row], alone)
        assert reasons[row] == why


def test_no_tensors_make_an_empty_table() -> None:
    table, reasons = element_table([])
    assert table.shape == (0, len(names_of(Family.ELEMENTS)))
    assert reasons == []
