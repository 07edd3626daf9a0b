"""Tensors that break statistics: no warning, no number without meaning, no silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bifurk.sketch import merge
from bifurk_service.stats.distributions.distribution import from_counts
from bifurk_service.stats.elements.element_table import (
    HALF_EQUAL,
    SINGLE,
    TOO_WIDE,
    ZEROS_FITTED,
    element_statistics,
    element_table,
)
from bifurk_service.stats.registry import STATISTICS, Family, Nature, names_of
from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from bifurk_service.stats.value import ALL_EQUAL, ALL_ZERO, NO_FINITE, UNRESOLVED, NoValue
from tests.drawn import DRAWN
from tests.stats.oracle import expected_elements, expected_shape
from tests.stats.tensors import DTYPES, counted, distribution_of, exact, number, weights

NAMES = names_of(Family.ELEMENTS)
RNG = np.random.default_rng(20)
SIGNS = RNG.choice([-1.0, 1.0], 20_000)
LARGEST = {
    "bfloat16": 3.3895313892515355e38,
    "float16": 65504.0,
    "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}
ADVERSARIAL: dict[str, NDArray[np.float64]] = {
    "constant": np.full(20_000, 0.1),
    "two values": np.where(RNG.uniform(size=999) < 0.3, -1.0, 1.0),
    "all zero": np.zeros(20_000),
    "ninety percent zeros": weights("mostly zero", 30_000),
    "one huge outlier": np.append(weights("gaussian", 20_000), 1e30),
    "float32 denormals": 1e-40 * RNG.integers(-9, 9, 20_000),
    "float64 denormals": 5e-324 * RNG.integers(-9, 9, 2_000),
    "float16 denormals": 6e-8 * RNG.integers(-9, 9, 2_000),
    "the largest of all": LARGEST["float64"] * SIGNS,
    "the largest float32": LARGEST["float32"] * SIGNS,
    "the largest beside a body": np.append(weights("gaussian", 20_000), [1.7e308, -1.7e308]),
    "student 2": weights("student2", 20_000),
    "uniform": weights("uniform", 20_000),
    "one element": np.array([0.3]),
    "two elements": np.array([0.25, -3.0]),
    "thirty-one elements": weights("gaussian", 31),
    "not all finite": np.append(weights("gaussian", 20_000), [np.nan, np.inf, -np.inf]),
    "nothing finite": np.full(9, np.nan),
    "nothing": np.array([]),
}


@pytest.mark.parametrize("carried", ["values", "counts"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_statistic_is_a_finite_number_or_says_why_not(
    name: str, dtype: str, carried: str
) -> None:
    distribution = distribution_of(exact(ADVERSARIAL[name], dtype), carried=carried)
    [row], [reasons] = element_table([distribution])
    assert {n for n, value in zip(NAMES, row, strict=True) if not np.isfinite(value)} == set(
        reasons
    )
    values = dict(zip(NAMES, row, strict=True))
    for statistic in STATISTICS:
        if statistic.name in reasons or statistic.family is not Family.ELEMENTS:
            continue
        if statistic.nature is Nature.CLASS:
            assert values[statistic.name] in range(len(SHAPE_CLASSES))
        elif statistic.nature is Nature.BOUNDED and statistic.name.endswith(("share", "mass")):
            assert 0 <= values[statistic.name] <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["one huge outlier", "student 2", "uniform", "not all finite"])
def test_what_is_defined_equals_the_oracle(name: str, dtype: str) -> None:
    values = exact(ADVERSARIAL[name], dtype)
    finite = values.float64()[np.isfinite(values.float64())]
    statistics = element_statistics(distribution_of(values, carried="values"))
    expected = expected_elements(finite) | expected_shape(finite)
    expected |= {"count": values.data.size, "nonfinite_count": values.data.size - finite.size}
    for statistic, truth in expected.items():
        if statistic == "mean" or isinstance(statistics[statistic], NoValue):
            continue
        assert statistics[statistic] == pytest.approx(truth, rel=1e-9, abs=1e-12), statistic


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_at_both_ends_of_their_dtype_are_two_values(dtype: str) -> None:
    values = exact(LARGEST[dtype] * SIGNS, dtype)
    statistics = element_statistics(distribution_of(values, carried="values"))
    assert statistics["rms"] == pytest.approx(LARGEST[dtype], rel=1e-12)
    assert number(statistics["excess_kurtosis"]) == pytest.approx(-2, abs=1e-3)
    assert statistics["shape_class"] == SHAPE_CLASSES.index("degenerate")
    assert statistics["outlier_share"] == HALF_EQUAL


def test_zeros_have_no_weibull_shape_and_no_body() -> None:
    statistics = element_statistics(
        distribution_of(exact(ADVERSARIAL["ninety percent zeros"]), carried="counts")
    )
    assert statistics["weibull_shape"] == statistics["weibull_scale"] == ZEROS_FITTED
    assert statistics["truncation_ratio"] == statistics["body_std"] == HALF_EQUAL
    assert statistics["shape_class"] == SHAPE_CLASSES.index("scale_mixture")


def test_one_value_and_zeros_have_no_sparsity() -> None:
    one, zero = (
        element_statistics(distribution_of(exact(np.array(v)), carried="values"))
        for v in ([0.3], [0.0, 0.0])
    )
    assert one["hoyer_sparsity"] == SINGLE
    assert zero["hoyer_sparsity"] == ALL_ZERO


def test_a_body_narrower_than_the_rounding_is_unknown() -> None:
    values = np.where(RNG.uniform(size=20_000) < 0.3, -1.0, 1.0)
    statistics = element_statistics(distribution_of(exact(values), carried="counts"))
    assert statistics["outlier_share"] == statistics["body_std"] == UNRESOLVED


def test_a_body_that_underflows_beside_the_largest_value_has_no_shape() -> None:
    values = exact(ADVERSARIAL["the largest beside a body"], "float64")
    statistics = element_statistics(distribution_of(values, carried="values"))
    assert statistics["dip"] == statistics["shape_class"] == statistics["body_std"] == TOO_WIDE
    assert statistics["quantile_p25"] == pytest.approx(
        np.quantile(ADVERSARIAL["the largest beside a body"][:-2], 0.25), rel=1e-3
    )


def test_nothing_finite_and_nothing_spread_have_their_reasons() -> None:
    nothing, constant = (
        element_statistics(distribution_of(exact(ADVERSARIAL[name]), carried="values"))
        for name in ("nothing finite", "constant")
    )
    assert nothing["shape_class"] == NO_FINITE
    assert constant["asymmetry"] == ALL_EQUAL


ORDINARY = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
MIRRORED = {"mean": "mean", "skewness": "skewness", "min": "max", "max": "min"} | {
    f"quantile_p{low}": f"quantile_p{high}"
    for low, high in (
        ("0_1", "99_9"),
        ("1", "99"),
        ("5", "95"),
        ("25", "75"),
        ("50", "50"),
        ("75", "25"),
        ("95", "5"),
        ("99", "1"),
        ("99_9", "0_1"),
    )
}
"""Statistics that change their sign with the weights', and whose value each then has."""


def statistics_of(values: NDArray[np.float64], dtype: str, carried: str) -> dict[str, Any]:
    return dict(element_statistics(distribution_of(exact(values, dtype), carried=carried)))


@settings(max_examples=6 * DRAWN, deadline=None, derandomize=True)
@given(
    arrays(np.float32, st.integers(1, 60), elements=ORDINARY),
    st.integers(-20, 20),
    st.sampled_from([("float64", "values"), ("bfloat16", "values"), ("float32", "counts")]),
)
def test_a_power_of_two_scales_what_has_the_weights_unit_and_nothing_else(
    values: NDArray[np.float32], exponent: int, way: tuple[str, str]
) -> None:
    wide = values.astype(np.float64)
    before, after = (statistics_of(v, *way) for v in (wide, np.ldexp(wide, exponent)))
    for statistic in STATISTICS:
        if statistic.family is not Family.ELEMENTS:
            continue
        old, new = before[statistic.name], after[statistic.name]
        if isinstance(old, NoValue):
            assert new == old, statistic.name
        else:
            factor = 2.0**exponent if statistic.unit == "weight" else 1.0
            assert new == old * factor, statistic.name


@settings(max_examples=6 * DRAWN, deadline=None, derandomize=True)
@given(
    arrays(np.float32, st.integers(1, 60), elements=ORDINARY),
    st.sampled_from([("float64", "values"), ("bfloat16", "values"), ("float32", "counts")]),
)
def test_a_change_of_sign_changes_the_sign_of_what_has_one(
    values: NDArray[np.float32], way: tuple[str, str]
) -> None:
    wide = values.astype(np.float64)
    before, after = (statistics_of(v, *way) for v in (wide, -wide))
    largest = float(np.max(np.abs(wide)))
    for statistic in STATISTICS:
        if statistic.family is not Family.ELEMENTS:
            continue
        sign = -1.0 if statistic.name in MIRRORED else 1.0
        old = before[MIRRORED.get(statistic.name, statistic.name)]
        new = after[statistic.name]
        if isinstance(old, NoValue) or isinstance(new, NoValue):
            assert new == old, statistic.name
            continue
        unit = largest if statistic.unit == "weight" else 1.0
        # Quantiles of bins and skewness of few values lose digits by cancellation.
        assert new == pytest.approx(sign * old, rel=1e-6, abs=1e-9 * unit), statistic.name


@settings(max_examples=4 * DRAWN, deadline=None, derandomize=True)
@given(
    st.lists(arrays(np.float32, st.integers(0, 40), elements=ORDINARY), min_size=3, max_size=3),
    st.sampled_from(["float16", "float32", "bfloat16"]),
)
def test_merged_shards_measure_as_the_whole_in_any_order(
    shards: list[NDArray[np.float32]], dtype: str
) -> None:
    a, b, c = (counted(exact(shard, dtype)) for shard in shards)
    whole = element_statistics(
        from_counts(counted(exact(np.concatenate(shards), dtype)), dtype=dtype)
    )
    for merged in (
        merge([a, b, c]),
        merge([c, a, b]),
        merge([merge([a, b]), c]),
        merge([a, merge([c, b])]),
    ):
        assert element_statistics(from_counts(merged, dtype=dtype)) == whole
