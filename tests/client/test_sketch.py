"""Counts by 16-bit key, against torch's own rounding and numpy's own floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bifurk.exact import STORAGE, Exact
from bifurk.sketch import (
    KEYS,
    SAMPLE_SIZE,
    ZERO_KEY,
    KeyFormat,
    Sketch,
    bfloat16_bits,
    from_table,
    key_format,
    key_values,
    merge,
    sample_positions,
    sketch,
    sketch_bits,
)

ALL_BITS = np.arange(KEYS, dtype=np.uint16)


def counted(values: NDArray[np.floating]) -> dict[float, int]:
    """The oracle: how often each finite value occurs, -0 with 0."""
    finite = values[np.isfinite(values)].astype(np.float64) + 0.0
    found, counts = np.unique(finite, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def as_dict(part: Sketch) -> dict[float, int]:
    return dict(zip(part.values().tolist(), part.counts.tolist(), strict=True))


def same(one: Sketch, other: Sketch) -> bool:
    return (
        one.format == other.format
        and np.array_equal(one.keys, other.keys)
        and np.array_equal(one.counts, other.counts)
        and (one.nan, one.positive_infinite, one.negative_infinite)
        == (other.nan, other.positive_infinite, other.negative_infinite)
    )


def test_every_float16_pattern_is_counted_as_the_value_it_is() -> None:
    values = ALL_BITS.view(np.float16)
    part = sketch(values)
    assert part.format == "f16"
    assert as_dict(part) == counted(values)
    assert part.nan == int(np.isnan(values).sum())
    assert (part.positive_infinite, part.negative_infinite) == (1, 1)
    assert part.size == KEYS


def test_every_bfloat16_pattern_is_counted_as_the_value_it_is() -> None:
    values = (ALL_BITS.astype(np.uint32) << np.uint32(16)).view(np.float32)
    part = sketch_bits(ALL_BITS, "bf16")
    assert as_dict(part) == counted(values)
    assert part.nonfinite_count == int((~np.isfinite(values)).sum())
    assert part.finite_count + part.nonfinite_count == part.size == KEYS


@given(arrays(np.uint32, st.integers(0, 300)))
def test_float32_rounds_to_bfloat16_exactly_as_torch_does(bits: NDArray[np.uint32]) -> None:
    values = bits.view(np.float32)
    ours = bfloat16_bits(values)
    theirs = torch.from_numpy(values.copy()).bfloat16().view(torch.int16).numpy().view(np.uint16)
    finite = ~np.isnan(values)
    assert np.array_equal(ours[finite], theirs[finite])
    assert ((ours[~finite] & 0x7F80) == 0x7F80).all()
    assert ((ours[~finite] & 0x007F) != 0).all()


@given(arrays(np.uint64, st.integers(0, 100)))
def test_float64_of_any_pattern_is_counted_without_a_warning(bits: NDArray[np.uint64]) -> None:
    values = bits.view(np.float64)
    part = sketch(values)
    assert part.size == values.size
    assert part.nan == int(np.isnan(values).sum())


def test_rounding_is_to_nearest_with_ties_to_even() -> None:
    ulp = 2.0**-7
    values = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51 * ulp, 3.4e38], dtype=np.float32)
    part = sketch(values)
    assert part.values().tolist() == [1.0, 1 + ulp, 1 + 2 * ulp]
    assert part.positive_infinite == 1


def test_minus_zero_is_zero_and_the_smallest_denormals_stand_beside_it() -> None:
    part = sketch_bits(np.array([0x8000, 0x0000, 0x0001, 0x8001], dtype=np.uint16), "bf16")
    assert part.keys.tolist() == [ZERO_KEY - 1, ZERO_KEY, ZERO_KEY + 1]
    assert part.counts.tolist() == [1, 2, 1]


@pytest.mark.parametrize("form", ["bf16", "f16"])
def test_a_larger_key_is_a_larger_value(form: KeyFormat) -> None:
    values = key_values(form)
    assert (np.diff(values[np.isfinite(values)]) > 0).all()
    assert not values.flags.writeable


@pytest.mark.parametrize("chunk_elements", [1, 7, 1 << 18])
def test_the_size_of_chunks_does_not_show(chunk_elements: int) -> None:
    values = np.random.default_rng(0).standard_normal((9, 5)).astype(np.float32)
    assert same(sketch(values, chunk_elements=chunk_elements), sketch(values))
    bits = bfloat16_bits(values)
    assert same(sketch_bits(bits, "bf16", chunk_elements=chunk_elements), sketch(values))


def test_strided_and_transposed_arrays_count_like_their_copies() -> None:
    values = np.random.default_rng(0).standard_normal((64, 32))
    for whole in (values.astype(np.float16), values.astype(np.float32), values):
        view = whole.T[::2, 1::3]
        assert same(sketch(view), sketch(view.copy()))


@given(st.lists(arrays(np.uint16, st.integers(0, 50)), min_size=1, max_size=5))
def test_shards_merge_to_the_counts_of_the_whole(shards: list[NDArray[np.uint16]]) -> None:
    whole = sketch_bits(np.concatenate(shards), "f16")
    assert same(merge([sketch_bits(shard, "f16") for shard in reversed(shards)]), whole)


@given(st.lists(arrays(np.uint16, st.integers(0, 50)), min_size=3, max_size=3))
def test_merging_does_not_care_for_order_or_grouping(shards: list[NDArray[np.uint16]]) -> None:
    a, b, c = (sketch_bits(shard, "bf16") for shard in shards)
    assert same(merge([a, b]), merge([b, a]))
    assert same(merge([merge([a, b]), c]), merge([a, merge([b, c])]))
    assert same(merge([a, sketch_bits(np.empty(0, dtype=np.uint16), "bf16")]), a)


def test_an_empty_array_has_an_empty_sketch() -> None:
    part = sketch(np.empty((0, 4), dtype=np.float32))
    assert part.size == 0
    assert part.values().size == 0


def test_different_formats_do_not_merge_and_nothing_merges_to_nothing() -> None:
    empty = np.zeros(KEYS, dtype=np.int64)
    with pytest.raises(ValueError, match=r"got \['bf16', 'f16'\]"):
        merge([from_table(empty, "bf16"), from_table(empty, "f16")])
    with pytest.raises(ValueError, match="at least one"):
        merge([])


def test_a_sketch_of_the_wrong_types_or_lengths_is_refused() -> None:
    keys, counts = np.zeros(1, dtype=np.uint16), np.ones(1, dtype=np.int64)
    with pytest.raises(ValueError, match="uint16 keys"):
        Sketch(format="bf16", keys=counts, counts=counts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="equal lengths"):
        Sketch(format="bf16", keys=keys, counts=np.ones(2, dtype=np.int64))


def test_float16_alone_keeps_its_own_keys() -> None:
    assert [key_format(dtype) for dtype in STORAGE] == ["bf16", "f16", "bf16", "bf16"]


@given(st.integers(SAMPLE_SIZE, 1 << 46))
def test_a_sample_takes_one_position_of_every_stratum(size: int) -> None:
    positions = sample_positions(size)
    index = np.arange(SAMPLE_SIZE, dtype=np.int64)
    assert (positions >= index * size // SAMPLE_SIZE).all()
    assert (positions < (index + 1) * size // SAMPLE_SIZE).all()


def test_the_positions_are_those_of_the_documented_pseudo_code() -> None:
    mask = (1 << 64) - 1
    first, second = sample_positions(65_536)[:2].tolist()
    # The first two outputs of splitmix64 from seed 0, as published with the generator.
    assert first == 0xE220A8397B1DCDAF % 16
    assert second == 16 + 0x6E789E6AA1B965F4 % 16
    expected = []
    for stratum in range(SAMPLE_SIZE):
        z = (stratum + 1) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        begin, end = stratum * 589_824 // SAMPLE_SIZE, (stratum + 1) * 589_824 // SAMPLE_SIZE
        expected.append(begin + (z ^ z >> 31) % (end - begin))
    assert sample_positions(589_824).tolist() == expected


@pytest.mark.parametrize(
    ("size", "chosen"),
    [
        (4_096, [0, 1, 2, 3, 4_095]),
        (16_385, [3, 4, 11, 12, 16_384]),
        (589_824, [79, 180, 415, 556, 589_776]),
        (38_597_376, [277, 18_387, 22_933, 32_974, 38_592_368]),
    ],
)
def test_the_positions_never_change(size: int, chosen: list[int]) -> None:
    assert sample_positions(size)[[0, 1, 2, 3, 4_095]].tolist() == chosen


def test_too_small_a_tensor_has_no_sample() -> None:
    with pytest.raises(ValueError, match="at least 4096 elements, got 4095"):
        sample_positions(4_095)


@pytest.mark.parametrize("dtype", STORAGE)
def test_widening_changes_no_value_and_keeps_nan_nan(dtype: str) -> None:
    storage = STORAGE[dtype]
    bits = np.random.default_rng(0).integers(0, 256, KEYS * storage.itemsize, dtype=np.uint8)
    if storage.itemsize == 2:
        bits = ALL_BITS.view(np.uint8)
    data = bits.view(storage)
    exact = Exact(dtype=dtype, data=data)
    wide = exact.float64()
    assert wide.dtype == np.float64
    torch_dtype = getattr(torch, dtype)
    theirs = torch.frombuffer(bytearray(bits.tobytes()), dtype=torch_dtype).double().numpy()
    np.testing.assert_array_equal(wide, theirs)


def test_exact_values_of_another_storage_are_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16 values are stored as uint16, got float32"):
        Exact(dtype="bfloat16", data=np.zeros(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"dtype must be one of .* got 'int8'"):
        Exact(dtype="int8", data=np.zeros(3, dtype=np.int8))
