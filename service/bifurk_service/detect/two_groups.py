"""The best parting of a few numbers into two groups, exactly, for many sets of numbers at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parting:
    """How G sets of at most L numbers each part best: exact two-means.

    Attributes:
        upper: bool [G, L], which numbers lie in the upper group.
        low, high: int64 [G], how many lie in either.
        r_squared: float64 [G], share of the squares that the two means take up; 0 where all
            numbers are equal.
        gap: float64 [G], between the two groups' neighbours.
        widest_inside: float64 [G], largest gap between neighbours of one group.
        apart: float64 [G], difference of the means.
    """

    upper: Mask
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    r_squared: Array
    gap: Array
    widest_inside: Array
    apart: Array


def part(values: Array, mask: Mask) -> Parting:
    """Parts the numbers of each row that the mask lets through; values float64 [G, L], L >= 2.

    In one dimension the best two groups are a prefix and a suffix of the sorted numbers, so every
    cut is tried by prefix sums (Fisher 1958, "On grouping for maximum homogeneity").
    """
    count = mask.sum(axis=1)
    total = np.maximum(count, 1)
    centred = np.where(mask, values, 0.0)
    centred = np.where(mask, centred - (centred.sum(axis=1) / total)[:, None], 0.0)
    ordered = np.sort(np.where(mask, centred, np.inf), axis=1)
    ordered = np.where(np.isfinite(ordered), ordered, 0.0)
    low = np.arange(1, values.shape[1])
    high = count[:, None] - low
    sums = np.cumsum(ordered, axis=1)[:, :-1]
    between = np.where(high > 0, sums**2 * total[:, None] / (low * np.maximum(high, 1)), -1.0)
    best = np.argmax(between, axis=1)
    rows = np.arange(len(values))
    gaps = np.where(high > 0, np.diff(ordered, axis=1), 0.0)
    gap = gaps[rows, best].copy()
    gaps[rows, best] = 0.0
    squares = np.einsum("gl,gl->g", ordered, ordered)
    taken = np.maximum(between[rows, best], 0.0)
    at_most = ordered[rows, best]
    sizes = low[best], count - low[best]
    return Parting(
        upper=mask & (centred > at_most[:, None]),
        low=sizes[0],
        high=sizes[1],
        r_squared=np.divide(taken, squares, out=np.zeros_like(taken), where=squares > 0),
        gap=gap,
        widest_inside=gaps.max(axis=1, initial=0.0),
        apart=-sums[rows, best] * (1 / sizes[0] + 1 / np.maximum(sizes[1], 1)),
    )
