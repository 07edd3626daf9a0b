"""Shares of a distribution, and draws from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.distributions.spread import known_spread


def share_between(distribution: Distribution, low: float, high: float) -> float:
    """Share of the finite elements with low <= w < high, in [0, 1].

    Exact where the elements are known. Rounded elements are taken as evenly spread over what
    rounds to them, so that a bin across an end counts in proportion.

    Args:
        distribution: of at least one finite element.
        low, high: in the weights' unit; -inf and inf leave that side open, the largest included.
    """
    below = known_spread(distribution).below(np.array([low, high]))
    return max(0.0, float(below[1] - below[0])) / distribution.size


def draws(distribution: Distribution, *, size: int, seed: int) -> NDArray[np.float64]:
    """Independent draws, float64 [size], with replacement; the same for the same seed.

    By the inverse distribution function at uniform numbers of ``numpy.random.PCG64(seed)``.
    Elements known exactly are drawn as they are, rounded ones from within what rounds to them.

    Args:
        distribution: of at least one finite element. size: at least 0. seed: at least 0.
    """
    uniform = np.random.Generator(np.random.PCG64(seed)).random(size)
    # Rounding may put the product on the size itself, one past the last element.
    position = np.minimum(uniform * distribution.size, np.nextafter(distribution.size, 0.0))
    index = np.searchsorted(distribution.ranks_below, position, side="right") - 1
    low, high = distribution.known_ends
    if low is high:
        return low[index]
    within = (position - distribution.ranks_below[index]) / distribution.counts[index]
    return low[index] + (high[index] - low[index]) * within
