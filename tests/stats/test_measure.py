"""One tensor measured whole: always every registered statistic, finite or with a reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.measure import TensorInput
from bifurk_service.stats.registry import STATISTICS, Family, names_of
from bifurk_service.stats.value import (
    FULL_NOT_SENT,
    NO_EARLIER,
    NOT_SENT,
    TOO_LARGE,
    NoValue,
    Value,
)
from tests.drawn import DRAWN
from tests.stats.oracle import (
    expected_dip,
    expected_elements,
    expected_js_divergence,
    expected_motion,
    expected_shape,
    expected_spectrum,
)
from tests.stats.tensors import (
    DTYPES,
    counted,
    exact,
    large,
    measure_tensor,
    number,
    small,
    weights,
)

SIZES = st.integers(0, 40)


def assert_complete(statistics: dict[str, Value]) -> None:
    assert list(statistics) == [statistic.name for statistic in STATISTICS]
    for name, value in statistics.items():
        if isinstance(value, NoValue):
            assert value.reason
        else:
            assert type(value) is float, name
            assert math.isfinite(value), name


def whole(values: NDArray[np.float64]) -> tuple[TensorInput, Exact]:
    """A matrix in motion, with everything that can be known of it."""
    now = exact(values)
    previous, first = exact(values * 0.99 + 0.001), exact(values + 0.01)
    flat = [Exact(dtype="float32", data=e.data.reshape(-1)) for e in (previous, first)]
    tensor = small(now, previous_trace=flat[0], first_trace=flat[1], steps_since_previous=9)
    return tensor, now


def test_a_small_matrix_in_motion_has_every_statistic() -> None:
    tensor, now = whole(weights("laplace", 3_776).reshape(59, 64))
    assert tensor.previous_trace is not None
    assert tensor.first_trace is not None
    actual = now.float64()
    expected = (
        expected_elements(actual)
        | expected_shape(actual)
        | {"dip": expected_dip(actual), "gaussian_js_divergence": expected_js_divergence(actual)}
        | expected_motion(
            actual, tensor.previous_trace.float64(), tensor.first_trace.float64(), steps=9
        )
        | expected_spectrum(actual)
    )
    statistics = measure_tensor(tensor)
    assert_complete(statistics)
    known = {name for family in (Family.ELEMENTS, Family.MOTION) for name in names_of(family)}
    assert set(expected) >= known - {"dip_ratio", "shape_class", "shape_margin"}
    for name, value in expected.items():
        assert statistics[name] == pytest.approx(value, rel=1e-11, abs=1e-13), name


def test_a_large_matrix_takes_its_elements_from_counts_and_its_spectrum_from_full_values() -> None:
    values = exact(weights("gaussian", 20_000).reshape(100, 200), "bfloat16")
    statistics = measure_tensor(large(values, full=values))
    assert_complete(statistics)
    actual = values.float64()
    assert statistics["std"] == pytest.approx(np.std(actual), rel=1e-12)
    assert statistics["spectral_norm"] == pytest.approx(np.linalg.norm(actual, 2), rel=1e-10)
    assert statistics["update_ratio"] == NOT_SENT


def test_full_values_do_not_change_what_the_counts_say() -> None:
    values = exact(weights("gaussian", 20_000).reshape(100, 200))
    without, with_full = (measure_tensor(large(values, full=full)) for full in (None, values))
    assert without["spectral_norm"] == FULL_NOT_SENT
    spectrum = names_of(Family.SPECTRUM)
    assert {n: v for n, v in without.items() if n not in spectrum} == {
        n: v for n, v in with_full.items() if n not in spectrum
    }


def test_a_first_snapshot_has_no_motion() -> None:
    statistics = measure_tensor(small(exact(weights("gaussian", 100))))
    assert_complete(statistics)
    assert statistics["update_ratio"] == statistics["cosine_to_first"] == NO_EARLIER


def test_a_tensor_of_which_nothing_came_says_so_everywhere() -> None:
    statistics = measure_tensor(small(exact([1.0]), shape=(4, 4), values=None, trace=None))
    assert_complete(statistics)
    assert set(statistics.values()) == {NOT_SENT, FULL_NOT_SENT}


def test_results_beyond_float64_are_no_values() -> None:
    statistics = measure_tensor(small(exact([[1.7e308, -1.7e308], [1.7e308, 1.6e308]], "float64")))
    assert_complete(statistics)
    assert statistics["l1_norm"] == statistics["l2_norm"] == TOO_LARGE
    assert number(statistics["std"]) > 1e308


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=5 * DRAWN, deadline=None)
def test_whatever_the_values_are_measuring_neither_raises_nor_warns(
    dtype: str, data: st.DataObject
) -> None:
    bits = {"bfloat16": np.uint16, "float16": np.uint16, "float32": np.uint32, "float64": np.uint64}
    rows, columns = data.draw(SIZES), data.draw(st.integers(1, 3))
    pattern = arrays(bits[dtype], (rows, columns))
    now, previous, first = (
        _from_bits(data.draw(pattern), dtype) for _ in ("now", "previous", "first")
    )
    motion: dict[str, Any] = {
        "previous_trace": previous,
        "first_trace": first,
        "steps_since_previous": data.draw(st.sampled_from([None, 1, 7])),
    }
    assert_complete(measure_tensor(small(now, **motion)))
    assert_complete(measure_tensor(large(now, full=now, **motion)))


def _from_bits(bits: NDArray[np.unsignedinteger], dtype: str) -> Exact:
    views = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
    return Exact(dtype=dtype, data=bits.view(views[dtype]) if dtype in views else bits)


@given(
    values=arrays(np.float32, st.integers(2, 60), elements=st.floats(-8, 8, width=32)),
    exponent=st.integers(-20, 20),
)
@settings(max_examples=8 * DRAWN, deadline=None)
def test_shape_does_not_depend_on_the_unit(values: NDArray[np.float32], exponent: int) -> None:
    exactly = np.where(np.abs(values) < 1e-20, 0, values).astype(np.float64)
    before, after = (
        measure_tensor(small(exact(v, "float64"))) for v in (exactly, np.ldexp(exactly, exponent))
    )
    for statistic in STATISTICS:
        if statistic.unit == "weight" and not isinstance(before[statistic.name], NoValue):
            continue
        assert after[statistic.name] == before[statistic.name], statistic.name


@given(values=arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3)))
@settings(max_examples=8 * DRAWN, deadline=None)
def test_mirrored_weights_have_mirrored_extremes_and_the_same_dip(
    values: NDArray[np.float64],
) -> None:
    before, after = (measure_tensor(small(exact(v, "float64"))) for v in (values, -values))
    assert (after["min"], after["max"]) == (-number(before["max"]), -number(before["min"]))
    assert after["rms"] == pytest.approx(number(before["rms"]), rel=1e-12)
    if not isinstance(before["dip"], NoValue):
        assert after["dip"] == pytest.approx(number(before["dip"]), abs=1e-9)


@given(
    bits=arrays(np.uint16, st.integers(1, 200)),
    cut=st.integers(0, 200),
)
@settings(max_examples=5 * DRAWN, deadline=None)
def test_bfloat16_measures_the_same_however_it_was_carried(
    bits: NDArray[np.uint16], cut: int
) -> None:
    values = Exact(dtype="bfloat16", data=bits)
    turned = Exact(dtype="bfloat16", data=np.roll(bits, cut))
    as_values = measure_tensor(small(values))
    as_counts = measure_tensor(small(values, counts=counted(turned), values=None))
    assert as_values == as_counts
