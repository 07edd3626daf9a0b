"""Elements evenly spread between two ends each: a distribution function that can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.distributions.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """Groups of elements, each evenly spread between its two ends; points where they are equal.

    Attributes:
        low, high: float64 [K], ascending; no interval overlaps the next. counts: int64 [K].
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64]

    def below(
        self, points: NDArray[np.float64], *, side: Literal["left", "right"] = "left"
    ) -> NDArray[np.float64]:
        """How many elements are below each point, float64 [P]; with ``right``, not above it."""
        if self.counts.size == 0:
            return np.zeros_like(points)
        through = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        index = np.searchsorted(self.high, points, side=side)
        inside = np.minimum(index, self.counts.size - 1)
        low, width = self.low[inside], self.high[inside] - self.low[inside]
        partly = (index < self.counts.size) & (points > low)
        # Only inside a bin: from one end of float64 to the other there is no difference.
        beyond = np.subtract(points, low, out=np.zeros_like(points), where=partly)
        share = np.divide(beyond, width, out=np.zeros_like(points), where=partly)
        return through[index] + np.where(partly, share * self.counts[inside], 0.0)


def known_spread(distribution: Distribution) -> Spread:
    """As far as the elements are known: exact values stay points, rounded ones fill their bins."""
    low, high = distribution.known_ends
    return Spread(low=low, high=high, counts=distribution.counts)


def smooth_spread(distribution: Distribution) -> Spread:
    """Every element that has a bin is spread over it, so that the number grid shows no comb.

    Known extremes stay the extremes: nothing is put beyond them.
    """
    values = distribution.values
    low, high = distribution.bins if distribution.bins is not None else (values, values)
    if distribution.lossless and values.size:
        low, high = (np.clip(end, values[0], values[-1]) for end in (low, high))
    return Spread(low=low, high=high, counts=distribution.counts)
