"""torch's counts equal numpy's, for every value there is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from bifurk import sketch, sketch_torch

EXTREMES = [
    float("nan"),
    float("inf"),
    float("-inf"),
    0.0,
    -0.0,
    1e-45,
    -1e-42,
    1e-38,
    3.3895313892515355e38,
    3.4e38,
    -3.4e38,
    65504.0,
    65520.0,
    6e-8,
    1.00390625,
    1.01171875,
]
"""Subnormals, the largest finite values, and ties of rounding, beside the usual suspects."""


def values(dtype: torch.dtype, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    normal = 0.02 * torch.randn(size, generator=generator, dtype=torch.float64)
    normal[: len(EXTREMES)] = torch.tensor(EXTREMES, dtype=torch.float64)
    return normal.to(dtype)


def in_numpy(tensor: torch.Tensor) -> sketch.Sketch:
    if tensor.dtype == torch.bfloat16:
        return sketch.sketch_bits(tensor.view(torch.int16).numpy().view(np.uint16), "bf16")
    return sketch.sketch(tensor.numpy())


def assert_equal(got: sketch.Sketch, expected: sketch.Sketch) -> None:
    assert got.format == expected.format
    np.testing.assert_array_equal(got.keys, expected.keys)
    np.testing.assert_array_equal(got.counts, expected.counts)
    for kind in ("nan", "positive_infinite", "negative_infinite"):
        assert getattr(got, kind) == getattr(expected, kind)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [len(EXTREMES), 20_000, sketch_torch.CPU_CHUNK_ELEMENTS * 2 + 5])
def test_counts_equal_numpy_s(dtype: torch.dtype, size: int) -> None:
    tensor = values(dtype, size)
    assert_equal(sketch_torch.sketch(tensor), in_numpy(tensor))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_bit_pattern_is_counted_where_it_belongs(dtype: torch.dtype) -> None:
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    got = sketch_torch.sketch(every)
    assert_equal(got, in_numpy(every))
    assert got.size == 1 << 16


def test_an_empty_tensor_has_an_empty_sketch() -> None:
    assert sketch_torch.sketch(torch.empty(0)).size == 0


def test_a_counter_carries_nothing_from_tensor_to_tensor() -> None:
    counter = sketch_torch.Counter()
    first = values(torch.float32, 50_000)
    sketch_torch.sketch(first, counter=counter)
    second = values(torch.bfloat16, 30)
    assert_equal(sketch_torch.sketch(second, counter=counter), in_numpy(second))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_counts_of_more_elements_than_int32_holds_add_up(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch_torch, "INT32_ELEMENTS", 3_000)
    tensor = values(torch.float32, 10_001)
    counter = sketch_torch.Counter(counts_dtype=dtype)
    assert_equal(sketch_torch.sketch(tensor, counter=counter), in_numpy(tensor))


@pytest.mark.parametrize("constant", [0.0, -0.0, 0.1, float("nan")])
def test_a_constant_tensor_is_one_key(constant: float) -> None:
    tensor = torch.full((70_000,), constant)
    got = sketch_torch.sketch(tensor)
    assert_equal(got, in_numpy(tensor))
    assert got.size == 70_000
    assert got.keys.size <= 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads through /proc")
def test_counting_in_the_background_wakes_no_pool_of_threads() -> None:
    torch.set_num_threads(4)
    tensor = values(torch.float32, 300_000)
    came: set[Path] | None = None

    def count() -> None:
        nonlocal came
        before = {*Path("/proc/self/task").iterdir()}
        sketch_torch.sketch(tensor)
        came = {*Path("/proc/self/task").iterdir()} - before

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert came == set(), "whatever of former tests has ended meanwhile"
