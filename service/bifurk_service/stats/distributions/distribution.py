"""The values of one tensor as a sorted distribution: from counts or from exact values alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import KEYS, ZERO_KEY, KeyFormat, Sketch, key_format, key_values

LOSSLESS_DTYPES: Final = frozenset({"bfloat16", "float16"})
"""Parameters of these dtypes are on the key grid already: their counts lose nothing."""
RESOLVED_STEPS: Final = 8
"""A spread of fewer grid steps at the median is not told: at 8 steps rounding adds
(step^2 / 12) / std^2 = 0.13 % to the variance, at 2 already 2 %."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """The finite values of one tensor, equal ones together.

    Attributes:
        values: float64 [K], strictly ascending.
        counts: int64 [K], at least 1: how many elements have each value.
        bins: two float64 [K], the lower and the upper end of the interval of reals that the number
            format rounds to each value; None for float32 and float64 values known exactly.
        lossless: False when the values were rounded into these bins on their way here.
        nonfinite: number of NaN and infinite elements, which are in nothing else.
        ranks_below: int64 [K], how many elements are smaller than each value.
        size: number of finite elements.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    bins: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    lossless: bool
    nonfinite: int
    ranks_below: NDArray[np.int64] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        through = np.cumsum(self.counts)
        object.__setattr__(self, "ranks_below", through - self.counts)
        object.__setattr__(self, "size", int(through[-1]) if through.size else 0)

    @property
    def known_ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two float64 [K]: between which numbers the elements counted at each value lie."""
        if self.lossless or self.bins is None:
            return self.values, self.values
        return self.bins

    def is_coarse(self, *, std: float) -> bool:
        """Whether the number grid at the median is too wide to show a spread of ``std``."""
        if self.bins is None:
            return False
        median = self._index_of((self.size - 1) // 2)
        low, high = self.bins
        return bool((high[median] - low[median]) * RESOLVED_STEPS > std)

    def quantiles(
        self, probabilities: NDArray[np.float64], *, smooth: bool = False
    ) -> NDArray[np.float64]:
        """Quantiles, float64 [P], at probabilities [P] in [0, 1].

        Linear between the order statistics around (n - 1) p, which is numpy's default: equal to
        ``numpy.quantile`` where the elements are known. Rounded elements are taken as evenly
        spread over their bin; with ``smooth`` all that have a bin are, so that the number grid
        itself shows no modes.
        """
        position = probabilities * (self.size - 1)
        rank = np.floor(position).astype(np.int64)
        fraction = position - rank
        index = self._index_of(rank)
        next_rank = np.minimum(rank + 1, self.size - 1)
        next_index = index + (next_rank >= self.ranks_below[index] + self.counts[index])
        low = self._elements(rank, index, smooth=smooth)
        high = self._elements(next_rank, next_index, smooth=smooth)
        width = high - low
        # From the nearer end, so that neither end is missed by a rounding error.
        return np.where(fraction < 0.5, low + width * fraction, high - width * (1.0 - fraction))

    def order_statistics(self, *, smooth: bool = False) -> NDArray[np.float64]:
        """All elements in ascending order, float64 [size]; ``smooth`` as in ``quantiles``."""
        rank = np.arange(self.size)
        return self._elements(rank, self._index_of(rank), smooth=smooth)

    def magnitudes(self) -> Distribution:
        """The distribution of |w|."""
        magnitude = np.abs(self.values)
        order = np.argsort(magnitude, kind="stable")
        ordered = magnitude[order]
        first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        bins = None
        if self.bins is not None:
            low, high = self.bins[0][order[first]], self.bins[1][order[first]]
            bins = np.maximum(np.maximum(low, -high), 0.0), np.maximum(high, -low)
        return Distribution(
            values=ordered[first],
            counts=np.add.reduceat(self.counts[order], first),
            bins=bins,
            lossless=self.lossless,
            nonfinite=self.nonfinite,
        )

    def _elements(
        self, rank: NDArray[np.int64], index: NDArray[np.intp], *, smooth: bool
    ) -> NDArray[np.float64]:
        """The elements of these ranks, counted at the values of these indices."""
        if self.bins is None or (self.lossless and not smooth):
            return self.values[index]
        low, high = self.bins[0][index], self.bins[1][index]
        return low + (high - low) * ((rank - self.ranks_below[index] + 0.5) / self.counts[index])

    def _index_of(self, rank: NDArray[np.int64] | int) -> NDArray[np.intp]:
        return np.searchsorted(self.ranks_below, rank, side="right") - 1


def from_counts(counts: Sketch, *, dtype: str) -> Distribution:
    """The distribution behind a sketch.

    Args:
        counts: of all elements.
        dtype: the parameter's own; counts of float32 and float64 parameters hold rounded values.
    """
    values = counts.values()
    lossless = dtype in LOSSLESS_DTYPES
    low, high = (ends[counts.keys] for ends in key_bins(counts.format))
    zero = int(counts.keys.searchsorted(ZERO_KEY))
    if not lossless and zero < counts.keys.size and counts.keys[zero] == ZERO_KEY:
        # Weights below 5e-41 are zeros: padding, dead units. Nothing is spread about them.
        low[zero] = high[zero] = 0.0
    return Distribution(
        values=values,
        counts=counts.counts,
        bins=(low, high),
        lossless=lossless,
        nonfinite=counts.nonfinite_count,
    )


def from_values(values: Exact) -> Distribution:
    """The distribution of exact values, any shape."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is still only a NaN
        flat = values.float32_or_wider().reshape(-1)
        ordered = np.sort(flat[np.isfinite(flat)])
    new = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    first = np.flatnonzero(new)
    # Adding zero makes -0 a 0.
    distinct = ordered[first].astype(np.float64) + 0.0
    return Distribution(
        values=distinct,
        counts=run_lengths(first, ordered.size),
        bins=_bins_of(distinct, dtype=values.dtype),
        lossless=True,
        nonfinite=flat.size - ordered.size,
    )


def run_lengths(starts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Lengths of runs that begin at ``starts``, ascending, and together end at ``total``.

    ``numpy.diff`` with ``append`` gives the same and takes ten times as long for short runs.
    """
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = total - starts[-1:]
    return lengths


@cache
def key_bins(format: KeyFormat) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper end of what rounds to every ordered key, two float64 [65536].

    The ends are the midpoints to the neighbouring keys' values; NaN where no finite value is.
    """
    values = key_values(format)
    finite = np.flatnonzero(np.isfinite(values))
    first, last = finite[0], finite[-1]
    low, high = np.full(KEYS, np.nan), np.full(KEYS, np.nan)
    middle = (values[first:last] + values[first + 1 : last + 1]) / 2
    low[first + 1 : last + 1], high[first:last] = middle, middle
    low[first], high[last] = 2 * values[first] - high[first], 2 * values[last] - low[last]
    for ends in (low, high):
        ends.setflags(write=False)
    return low, high


def _bins_of(
    values: NDArray[np.float64], *, dtype: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if dtype not in LOSSLESS_DTYPES:
        return None
    if dtype == "float16":
        bits = values.astype(np.float16).view(np.uint16)
    else:
        bits = (values.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    magnitude = (bits & np.uint16(ZERO_KEY - 1)).astype(np.int64)
    keys = ZERO_KEY + np.where(values < 0, -magnitude, magnitude)
    low, high = key_bins(key_format(dtype))
    return low[keys], high[keys]
