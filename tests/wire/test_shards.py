"""Which of a whole tensor's sampled elements lie in a shard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bifurk.exact import Exact
from bifurk.sketch import SAMPLE_SIZE, sample_positions, sketch
from bifurk.wire import Manifest, Part, Placement, TensorPart, WireError, decode, encode
from bifurk.wire.shards import sampled_within


@pytest.mark.parametrize(
    ("shape", "offset", "local_shape"),
    [
        ((260, 127), (130, 0), (130, 127)),
        ((151, 129), (76, 40), (75, 33)),
        ((33_000,), (16_500,), (16_500,)),
        ((8, 30, 90), (3, 7, 0), (2, 11, 90)),
        ((70_000, 1), (5, 0), (1, 1)),
        ((260, 127), (131,), (20_000,)),
        ((8, 30, 90), (1,), (21_599,)),
    ],
)
def test_they_are_where_an_array_of_positions_has_them(
    shape: tuple[int, ...], offset: tuple[int, ...], local_shape: tuple[int, ...]
) -> None:
    size = math.prod(shape)
    block = tuple(slice(o, o + n) for o, n in zip(offset, local_shape, strict=True))
    everything = np.arange(size) if len(offset) == 1 else np.arange(size).reshape(shape)
    local = everything[block].ravel()
    sampled = sample_positions(size)
    places, positions = sampled_within(shape, Placement(offset=offset, local_shape=local_shape))
    np.testing.assert_array_equal(sampled[places], local[positions])
    assert set(sampled[places].tolist()) == set(sampled.tolist()) & set(local.tolist())
    assert (np.diff(places) > 0).all()


def test_a_placement_of_everything_has_the_whole_sample() -> None:
    places, positions = sampled_within((200, 100), Placement(offset=(0, 0), local_shape=(200, 100)))
    np.testing.assert_array_equal(places, np.arange(SAMPLE_SIZE))
    np.testing.assert_array_equal(positions, sample_positions(20_000))


def test_a_tensor_without_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4096"):
        sampled_within((10, 10), Placement(offset=(0, 0), local_shape=(5, 10)))


def part_of(placement: Placement, *, sample: int | None) -> Part:
    values = np.random.default_rng(0).standard_normal(placement.local_shape).astype(np.float32)
    tensor = TensorPart(
        name="w",
        shape=(260, 127),
        dtype="float32",
        counts=sketch(values),
        sample=None if sample is None else Exact(dtype="float32", data=values.ravel()[:sample]),
        placement=placement,
    )
    manifest = Manifest(
        project="tests", run="r", attempt="a", step=0, sequence=0, rank=1, expected_parts=2
    )
    return Part(manifest=manifest, tensors=(tensor,))


def test_a_shard_carries_as_much_of_the_sample_as_lies_in_it() -> None:
    placement = Placement(offset=(200, 0), local_shape=(60, 127))
    fitting = sampled_within((260, 127), placement)[0].size
    came = decode(encode(part_of(placement, sample=fitting))).tensors[0].sample
    assert came is not None
    assert came.data.size == fitting
    for other in (fitting - 1, fitting + 1):
        with pytest.raises(WireError, match="sample"):
            decode(encode(part_of(placement, sample=other)))


def test_a_shard_without_any_of_the_sample_carries_none() -> None:
    sampled = set(sample_positions(260 * 127).tolist())
    column = next(column for column in range(127) if column not in sampled)
    placement = Placement(offset=(0, column), local_shape=(1, 1))
    assert decode(encode(part_of(placement, sample=None))).tensors[0].sample is None
