"""Where the elements of a shard lie among those of the whole tensor."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk.sketch import sample_positions
from bifurk.wire.part import Placement

Positions: TypeAlias = NDArray[np.int64]


def cut_shape(shape: tuple[int, ...], placement: Placement) -> tuple[int, ...]:
    """The shape in which a placement's offset counts: the tensor's, or that of all in one row.

    >>> cut_shape((3, 4), Placement(offset=(5,), local_shape=(2,)))
    (12,)
    """
    return shape if len(placement.offset) == len(shape) else (math.prod(shape),)


@lru_cache(maxsize=1024)
def sampled_within(shape: tuple[int, ...], placement: Placement) -> tuple[Positions, Positions]:
    """Which of a whole tensor's sampled elements lie in a shard, and where there.

    The sample is one of the whole tensor, whatever its sharding, so that it stays comparable
    with an earlier one that was sharded otherwise.

    Args:
        shape: of the whole tensor, of at least ``SAMPLE_SIZE`` elements. placement: of the shard.

    Returns:
        Their places in the whole's sample, and their positions in the flattened shard (row-major);
        both int64, ascending, of equal length, read-only.

    Raises:
        ValueError: the tensor has fewer elements than a sample.
    """
    cut = cut_shape(shape, placement)
    everywhere = np.stack(np.unravel_index(sample_positions(math.prod(shape)), cut))
    local = everywhere - np.array(placement.offset, dtype=np.int64)[:, None]
    lengths = np.array(placement.local_shape, dtype=np.int64)[:, None]
    places = np.flatnonzero(((local >= 0) & (local < lengths)).all(axis=0)).astype(np.int64)
    inside = tuple(axis[places] for axis in local)
    positions = np.ravel_multi_index(inside, placement.local_shape).astype(np.int64)
    for found in (places, positions):
        found.setflags(write=False)
    return places, positions
