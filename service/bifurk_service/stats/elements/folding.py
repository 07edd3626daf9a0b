"""Distances of the elements from a centre, in ascending order: magnitudes, deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.elements.stack import Floats, Stack

Indices: TypeAlias = NDArray[np.int64]

_RADII: Final[Floats] = np.ldexp(1.0, np.arange(-62, 2))
"""Distances are first told apart by these; 2 is beyond any distance of values below 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """The distances between two ranks, and perhaps some beyond.

    Attributes:
        distances: the stack of these distances, equal ones together, in the stack's own unit.
        base: float64 [T], how many elements have a smaller distance than those.
    """

    distances: Stack
    base: Floats

    def at_positions(self, position: Floats) -> Floats:
        """The distance at position [T, P] among all, 0 the smallest; linear in between."""
        return self.distances.at_positions(position - self.base[:, None])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expanded:
    """All distances of small tensors one by one.

    Attributes:
        distances: float64 [sum of sizes], ascending within each tensor, in the stack's unit.
        starts, sizes: int64 [T], where each tensor's are.
    """

    distances: Floats
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def at_positions(self, position: Floats) -> Floats:
        """The distance at position [T, P], 0 the smallest; linear in between."""
        rank = np.floor(position).astype(np.int64)
        fraction = position - rank
        start = self.starts[:, None]
        low = self.distances[start + rank]
        high = self.distances[start + np.minimum(rank + 1, self.sizes[:, None] - 1)]
        width = high - low
        # From the nearer end, so that neither end is missed by a rounding error.
        return np.asarray(
            np.where(fraction < 0.5, low + width * fraction, high - width * (1.0 - fraction))
        )


def expand(tensors: Stack, centre: Floats) -> Expanded:
    """|w - centre| of every element, in order; the elements must be known."""
    distances = np.abs(tensors.order_statistics() - np.repeat(centre, tensors.sizes))
    for start, size in zip(tensors.before.tolist(), tensors.sizes.tolist(), strict=True):
        # Two runs, falling then rising: a merge sort needs a fifth of the time of quicksort.
        distances[start : start + size].sort(kind="stable")
    return Expanded(distances=distances, starts=tensors.before, sizes=tensors.sizes)


def fold(tensors: Stack, centre: Floats, *, first: Floats, last: Floats) -> Folded:
    """|w - centre| in order.

    Only what is needed is sorted: that is a fifth of a sketch, most of whose keys lie near zero.

    Args:
        tensors: T tensors. centre: [T], in their scaled unit.
        first, last: [T], the ranks (0 the smallest) to have, in order, within the elements.
    """
    outer, inner = _slices(tensors, centre, first, last)
    orders = []
    for left, right, inner_left, inner_right in zip(*outer, *inner, strict=True):
        orders.append(
            np.concatenate([np.arange(inner_left - 1, left - 1, -1), np.arange(inner_right, right)])
        )
    lengths = np.array([order.size for order in orders])
    order = np.concatenate(orders)
    distance = np.abs(tensors.values[order] - np.repeat(centre, lengths))
    ordered = _sort_within(order, distance, lengths)
    owner = np.repeat(np.arange(lengths.size), lengths)
    new = np.ones(order.size, dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (owner[1:] != owner[:-1])
    heads = np.flatnonzero(new)
    base = tensors.counted_before(inner[1]) - tensors.counted_before(inner[0])
    return Folded(
        distances=_stack_of(tensors, order, heads, ordered[heads], centre),
        base=base.astype(np.float64),
    )


def _slices(
    tensors: Stack, centre: Floats, first: Floats, last: Floats
) -> tuple[tuple[Indices, Indices], tuple[Indices, Indices]]:
    """Entries within two radii: the least that holds rank ``last``, the most that lacks ``first``.

    Each as first entry and the one behind the last, int64 [T]; the inner one may be empty.
    """
    left = np.empty((tensors.lengths.size, _RADII.size + 1), dtype=np.int64)
    right = np.empty_like(left)
    radii = np.append(0.0, _RADII)
    for row, start in enumerate(tensors.starts.tolist()):
        own = tensors.values[start : start + tensors.lengths[row]]
        left[row] = own.searchsorted(centre[row] - radii, side="left")
        right[row] = own.searchsorted(centre[row] + radii, side="right")
    right[:, 0] = left[:, 0]
    left, right = left + tensors.starts[:, None], right + tensors.starts[:, None]
    count = tensors.counted_before(right) - tensors.counted_before(left)
    inner = np.sum(count <= first[:, None], axis=1) - 1
    outer = np.sum(count <= last[:, None], axis=1)
    tensor = np.arange(inner.size)
    return (
        (left[tensor, outer], right[tensor, outer]),
        (left[tensor, inner], right[tensor, inner]),
    )


def _sort_within(order: Indices, distance: Floats, lengths: Indices) -> Floats:
    """Sorts the entries of each tensor by distance, in place; two runs are only merged."""
    ordered = np.empty_like(distance)
    end = 0
    for length in lengths.tolist():
        start, end = end, end + length
        own = distance[start:end].argsort(kind="stable")
        ordered[start:end] = distance[start:end][own]
        order[start:end] = order[start:end][own]
    return ordered


def _stack_of(
    tensors: Stack, order: NDArray[np.intp], heads: NDArray[np.intp], values: Floats, centre: Floats
) -> Stack:
    """Entries in this order, those from one head to the next together."""
    counts = np.add.reduceat(tensors.counts[order], heads)
    owner = tensors.owner[order[heads]]
    low = high = values
    if tensors.low is not tensors.values:
        middle = centre[owner]
        left, right = tensors.low[order[heads]] - middle, tensors.high[order[heads]] - middle
        low, high = np.maximum(np.maximum(left, -right), 0.0), np.maximum(right, -left)
    lengths = np.bincount(owner, minlength=tensors.lengths.size)
    starts = np.cumsum(lengths) - lengths
    return Stack(
        kind=tensors.kind,
        exponent=tensors.exponent,
        values=values,
        low=low,
        high=high,
        counts=counts,
        starts=starts,
        lengths=lengths,
        sizes=np.add.reduceat(counts, starts).astype(np.int64),
    )
