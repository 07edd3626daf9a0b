"""Fewer points of a series, its extremes kept."""

from __future__ import annotations

from itertools import pairwise

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
    if points < 4:
        raise ValueError(f"at least 4 points, got {points}")
    if values.size <= points:
        return np.arange(values.size, dtype=np.int64)
    edges = np.linspace(0, values.size, (points - 2) // 2 + 1).astype(np.int64)
    kept = {0, values.size - 1}
    for start, end in pairwise(edges):
        stretch = values[start:end]
        if not np.isnan(stretch).all():
            kept.update((int(start + np.nanargmin(stretch)), int(start + np.nanargmax(stretch))))
    return np.array(sorted(kept), dtype=np.int64)
