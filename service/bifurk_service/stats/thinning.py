"""Fewer points of a series, its extremes kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thin(values: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """Indices of at most ``points`` values that draw the same curve.

    The series is cut into equal stretches and of each the smallest and the largest value stay, in
    order, so that no spike is lost; first and last stay too. NaN is passed over.

    Args:
        values: float64 [N]. points: at least 4.

    Returns:
        int64 [at most points], strictly ascending.
    """
    return thin_between(values, values, points)


def thin_between(
    low: NDArray[np.float64], high: NDArray[np.float64], points: int
) -> NDArray[np.int64]:
    """The same of what lies between two series, float64 [N] both: the least and the greatest."""
    if points < 4:
        raise ValueError(f"at least 4 points, got {points}")
    if low.size <= points:
        return np.arange(low.size, dtype=np.int64)
    starts = np.linspace(0, low.size, (points - 2) // 2 + 1).astype(np.int64)[:-1]
    lowest, highest = first_lowest(low, starts), first_lowest(-high, starts)
    return np.unique(np.concatenate(([0], lowest, highest, [low.size - 1])))


def thin_intervals(
    mean: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], points: int
) -> NDArray[np.int64]:
    """Indices of at most ``points`` intervals with extreme means, minima and maxima, and the ends.

    Args:
        mean, low, high: of each interval, float64 [N], NaN without one. points: at least 8.
    """
    if mean.size <= points:
        return np.arange(mean.size, dtype=np.int64)
    half = points // 2
    return np.union1d(thin(mean, half), thin_between(low, high, half))


def first_lowest(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each stretch the first index of its smallest value; none of a stretch that is all NaN.

    Args:
        values: float64 [N], NaN without one. starts: int64, where stretches begin, the first with
            0, strictly ascending.
    """
    stretch = np.zeros(values.size, dtype=np.int64)
    stretch[starts[1:]] = 1
    stretch = stretch.cumsum()
    at = np.flatnonzero(values == np.fmin.reduceat(values, starts)[stretch])
    _, first = np.unique(stretch[at], return_index=True)
    return at[first]
