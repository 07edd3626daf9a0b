"""The sorted distribution: bins, ranks and quantiles behind every element statistic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import KeyFormat, key_values, sketch_bits
from bifurk_service.stats.distributions.distribution import (
    Distribution,
    from_counts,
    from_values,
    key_bins,
)
from bifurk_service.stats.elements.stack import stack
from tests.stats.tensors import distribution_of, exact, weights

FORMATS: list[tuple[KeyFormat, torch.dtype]] = [("bf16", torch.bfloat16), ("f16", torch.float16)]


@pytest.mark.parametrize(("format", "dtype"), FORMATS)
def test_what_lies_inside_a_bin_rounds_to_its_key(format: KeyFormat, dtype: torch.dtype) -> None:
    low, high = key_bins(format)
    values = key_values(format)
    finite = np.flatnonzero(np.isfinite(values))
    for share in (0.001, 0.5, 0.999):
        inside = low[finite] + share * (high - low)[finite]
        rounded = torch.from_numpy(inside).to(dtype).double().numpy()
        np.testing.assert_array_equal(rounded, values[finite])


@pytest.mark.parametrize("format", ["bf16", "f16"])
def test_bins_tile_the_numbers_without_gap_or_overlap(format: KeyFormat) -> None:
    low, high = key_bins(format)
    finite = np.flatnonzero(np.isfinite(key_values(format)))
    np.testing.assert_array_equal(high[finite[:-1]], low[finite[1:]])
    assert np.isnan(low).sum() == np.isnan(high).sum() == 65_536 - finite.size


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_values_and_counts_of_a_16_bit_tensor_are_one_distribution(dtype: str) -> None:
    values = exact(np.append(weights("student3", 2_000), [0.0, -0.0, np.nan]), dtype)
    a, b = (distribution_of(values, carried=carried) for carried in ("values", "counts"))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.counts, b.counts)
    assert a.bins is not None
    assert b.bins is not None
    np.testing.assert_array_equal(a.bins, b.bins)
    assert (a.size, a.nonfinite) == (b.size, b.nonfinite) == (2_002, 1)


def test_order_statistics_are_the_sorted_elements() -> None:
    values = exact(weights("mostly zero", 3_000))
    ordered = from_values(values).order_statistics()
    np.testing.assert_array_equal(ordered, np.sort(values.float64()))


def test_smooth_order_statistics_stay_in_order_and_in_their_bins() -> None:
    values = exact(1 + weights("gaussian", 5_000), "bfloat16")
    smooth = distribution_of(values, carried="counts").order_statistics(smooth=True)
    assert (np.diff(smooth) > 0).all()
    back = torch.from_numpy(smooth).to(torch.bfloat16).double().numpy()
    np.testing.assert_array_equal(back, np.sort(values.float64()))


def share_within(distribution: Distribution, bound: float) -> float:
    """P(|w| < bound), as the statistics of elements take it."""
    alone = stack([distribution])
    edge = np.ldexp(np.array([[bound]]), -int(alone.exponent[0]))
    return float(alone.between(-edge, edge, closed=False)[0, 0]) / distribution.size


@pytest.mark.parametrize("carried", ["values", "counts"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_share_within_a_bound_counts_what_is_strictly_inside(carried: str, dtype: str) -> None:
    values = exact(np.array([-2.0, -1.0, 0.0, 0.0, 0.5, 1.0]), dtype)
    distribution = distribution_of(values, carried=carried)
    assert share_within(distribution, 0.75) == 3 / 6
    if distribution.lossless:
        assert share_within(distribution, 1.0) == 3 / 6
    assert share_within(distribution, 2.5) == 1.0


def test_a_bin_across_the_bound_counts_in_proportion() -> None:
    ones = from_counts(sketch_bits(_bits_of_one(), "bf16"), dtype="float32")
    low, high = ones.known_ends
    assert share_within(ones, float(low[0] + 0.25 * (high[0] - low[0]))) == pytest.approx(0.25)


def _bits_of_one() -> NDArray[np.uint16]:
    return np.full(100, 0x3F80, dtype=np.uint16)


def test_magnitudes_put_both_signs_together() -> None:
    values = exact(np.array([-3.0, -1.0, 0.0, 1.0, 1.0, 2.0]), "bfloat16")
    magnitudes = distribution_of(values, carried="counts").magnitudes()
    assert magnitudes.values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert magnitudes.counts.tolist() == [1, 3, 1, 1]
    assert magnitudes.bins is not None
    assert (magnitudes.bins[0] >= 0).all()
    assert (magnitudes.bins[0] < magnitudes.bins[1]).all()


def test_a_distribution_of_values_takes_any_shape() -> None:
    matrix = Exact(dtype="float64", data=np.array([[2.0, 1.0], [1.0, np.inf]]))
    assert from_values(matrix).values.tolist() == [1.0, 2.0]
    assert from_values(matrix).nonfinite == 1
