"""How far courses have gone since they began, as heatmaps colour it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def change_since_first(values: NDArray[np.float64], *, log_scale: bool) -> NDArray[np.float64]:
    """Of T courses [T, N], the change since each one's first value that is known, [T, N].

    Doublings where a statistic is multiplicative (1 is twice as much, -1 half); the difference in
    units of the course's own robust spread where it is not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        courses = np.log2(np.where(values > 0, values, np.nan)) if log_scale else values
        known = np.isfinite(courses)
        if not courses.size:
            return courses
        first = courses[np.arange(len(courses)), np.argmax(known, axis=1)]
        change = np.where(known, courses - first[:, None], np.nan)
        if log_scale:
            return change
        spread = np.array(
            [
                np.std(row[mask]) if mask.any() else np.nan
                for row, mask in zip(change, known, strict=True)
            ]
        )
        return change / np.where(spread > 0, spread, 1.0)[:, None]
