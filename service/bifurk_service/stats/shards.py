"""One tensor put together again from the shards that the ranks sent of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from bifurk.exact import STORAGE, Exact
from bifurk.sketch import SAMPLE_SIZE, SMALL_TENSOR_ELEMENTS, merge
from bifurk.wire import Placement, TensorPart
from bifurk.wire.shards import cut_shape, sampled_within
from bifurk_service.stats.pooling import counts_of
from bifurk_service.stats.value import NoValue

DIFFERENT: Final = NoValue("its shards are of different shapes, dtypes or kinds")
OVERLAPPING: Final = NoValue("its shards overlap")


def distinct(pieces: Sequence[TensorPart]) -> list[TensorPart]:
    """Of pieces with the same place in the tensor (replicas) the first, in their order."""
    by_place: dict[Placement | None, TensorPart] = {}
    for piece in pieces:
        by_place.setdefault(piece.placement, piece)
    return list(by_place.values())


def assembled(pieces: Sequence[TensorPart]) -> TensorPart | NoValue:
    """What one client would have sent of the whole tensor, or why it cannot be told.

    Counts add; sample, values and full values are put in their places, full values only where all
    shards carry them. A tensor that one part carries whole passes through as it is.

    Args:
        pieces: of one tensor, at least one, by rank; of replicas the first counts.
    """
    shards = distinct(pieces)
    whole = shards[0]
    if len(shards) == 1 and whole.placement is None:
        return whole
    if (reason := _incomplete(shards)) is not None:
        return reason
    values = _placed(shards, lambda one: one.values)
    is_small = values is not None and whole.size <= SMALL_TENSOR_ELEMENTS
    return replace(
        whole,
        placement=None,
        counts=None if is_small else merge(map(counts_of, shards)),
        values=_flat(values) if is_small else None,
        sample=None if is_small else _sample(shards),
        full=_placed(shards, lambda one: one.values if one.full is None else one.full)
        if any(one.full is not None for one in shards)
        else None,
    )


def trace(pieces: Sequence[TensorPart]) -> Exact | None:
    """The exact values whose identity is kept over time: all of a small tensor, else the sample.

    Args:
        pieces: as for ``assembled``; they need not carry anything else.
    """
    shards = distinct(pieces)
    if len(shards) == 1 and shards[0].placement is None:
        return shards[0].sample if shards[0].values is None else shards[0].values
    if _incomplete(shards) is not None:
        return None
    if shards[0].size <= SMALL_TENSOR_ELEMENTS:
        return _flat(_placed(shards, lambda one: one.values))
    return _sample(shards)


def full_values(pieces: Sequence[TensorPart]) -> Exact | None:
    """All values of a tensor in its own shape, where every shard carries them."""
    shards = distinct(pieces)
    if len(shards) == 1 and shards[0].placement is None:
        return shards[0].full
    if _incomplete(shards) is not None or all(one.full is None for one in shards):
        return None
    return _placed(shards, lambda one: one.values if one.full is None else one.full)


def _incomplete(shards: Sequence[TensorPart]) -> NoValue | None:
    """Why these are not exactly the whole tensor; None where they are."""
    whole = shards[0]
    if any((one.shape, one.dtype) != (whole.shape, whole.dtype) for one in shards):
        return DIFFERENT
    came = sum(math.prod(one.local_shape) for one in shards)
    if came < whole.size:
        return NoValue(f"{came} of {whole.size} elements came")
    places = tuple(one.placement for one in shards if one.placement is not None)
    if len({len(place.offset) for place in places}) > 1:
        return DIFFERENT
    if came > whole.size or len(places) < len(shards) or _overlap(places):
        return OVERLAPPING
    return None


@lru_cache(maxsize=1024)
def _overlap(places: tuple[Placement, ...]) -> bool:
    """Whether any two blocks share an element."""
    first = np.array([place.offset for place in places], dtype=np.int64)
    end = first + np.array([place.local_shape for place in places], dtype=np.int64)
    for index in range(1, len(places)):
        meets = (first[:index] < end[index]) & (first[index] < end[:index])
        if meets.all(axis=1).any():
            return True
    return False


def _placed(
    shards: Sequence[TensorPart], carried: Callable[[TensorPart], Exact | None]
) -> Exact | None:
    """What all shards carry, as one array of the whole's shape; None where one does not."""
    whole = shards[0]
    blocks = [carried(one) for one in shards]
    if any(block is None for block in blocks):
        return None
    assert whole.placement is not None
    data = np.empty(cut_shape(whole.shape, whole.placement), dtype=STORAGE[whole.dtype])
    for one, block in zip(shards, blocks, strict=True):
        assert one.placement is not None
        assert block is not None
        data[_slices(one.placement)] = block.data.reshape(one.local_shape)
    return Exact(dtype=whole.dtype, data=data.reshape(whole.shape))


def _slices(place: Placement) -> tuple[slice, ...]:
    return tuple(
        slice(start, start + length)
        for start, length in zip(place.offset, place.local_shape, strict=True)
    )


def _flat(values: Exact | None) -> Exact | None:
    return None if values is None else Exact(dtype=values.dtype, data=values.data.reshape(-1))


def _sample(shards: Sequence[TensorPart]) -> Exact | None:
    """The sample of the whole tensor; None where it is too small, or a shard's does not come."""
    whole = shards[0]
    if whole.size < SAMPLE_SIZE:
        return None
    data = np.empty(SAMPLE_SIZE, dtype=STORAGE[whole.dtype])
    for one in shards:
        assert one.placement is not None
        places, positions = sampled_within(whole.shape, one.placement)
        if not places.size:
            continue
        if one.sample is not None:
            data[places] = one.sample.data
        elif one.values is not None:
            data[places] = one.values.data.reshape(-1)[positions]
        else:
            return None
    return Exact(dtype=whole.dtype, data=data)
