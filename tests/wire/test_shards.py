"""Which of a whole tensor's sampled elements lie in a shard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bifurk.sketch import SAMPLE_SIZE, sample_positions
from bifurk.wire import Placement
from bifurk.wire.shards import sampled_within


@pytest.mark.parametrize(
    ("shape", "offset", "local_shape"),
    [
        ((260, 127), (130, 0), (130, 127)),
        ((151, 129), (76, 40), (75, 33)),
        ((33_000,), (16_500,), (16_500,)),
        ((8, 30, 90), (3, 7, 0), (2, 11, 90)),
        ((70_000, 1), (5, 0), (1, 1)),
    ],
)
def test_they_are_where_an_array_of_positions_has_them(
    shape: tuple[int, ...], offset: tuple[int, ...], local_shape: tuple[int, ...]
) -> None:
    size = math.prod(shape)
    block = tuple(slice(o, o + n) for o, n in zip(offset, local_shape, strict=True))
    local = np.arange(size).reshape(shape)[block].ravel()
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
