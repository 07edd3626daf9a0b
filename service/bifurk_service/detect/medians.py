"""Medians of many short series at once: of few values a sort takes less than numpy's own does."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def median(values: Array) -> Array:
    """Median along the last axis; 0 of no values."""
    return _middle(np.sort(values, axis=-1))


def masked_median(values: Array, mask: Mask | None) -> Array:
    """Median along the last axis of what the mask lets through, [S]; 0 where it lets nothing.

    Args:
        values: float64 [S, N].
        mask: bool [S, N], or [1, N] where it is the same for all; None lets everything through.
    """
    if mask is None or mask.all():
        return median(values)
    if len(mask) == 1:
        return median(values[:, mask[0]])
    count = mask.sum(axis=1)
    ordered = np.where(mask, values, np.inf)
    ordered.sort(axis=1)
    rows = np.arange(len(ordered))
    low = ordered[rows, np.maximum(count - 1, 0) // 2]
    high = ordered[rows, np.minimum(count // 2, ordered.shape[1] - 1)]
    empty = count == 0
    return (np.where(empty, 0.0, low) + np.where(empty, 0.0, high)) / 2


def median_size(values: Array, mask: Mask | None) -> Array:
    """Median absolute value along the last axis of what the mask lets through, [S]."""
    sizes = np.abs(values)
    if mask is not None and not mask.all():
        return masked_median(sizes, mask)
    sizes.sort(axis=1)
    return _middle(sizes)


def _middle(ordered: Array) -> Array:
    count = ordered.shape[-1]
    if not count:
        return np.zeros(ordered.shape[:-1])
    middle: Array = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return middle
