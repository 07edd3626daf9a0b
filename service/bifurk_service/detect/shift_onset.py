"""When a shift began: the splits of the newest values that explain most of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from bifurk_service.detect.robust_fit import Array, robust_sigma

ONSET_DEVIANCE: Final = 4.0
"""Onsets are plausible within this of the best one's gain in squared standard deviations."""


def onset_of(course: Array, *, scale: int, residuals: Array) -> tuple[int, int, int]:
    """How many of the newest values lie after the onset: at most, most likely, at least.

    The split of the course that explains most of it, and every split nearly as good.

    Args:
        course: float64 [N], the newest values as they lie to the course before.
        scale: how many of them stood out together.
        residuals: of that course before, float64 [M]; zero where there is none.
    """
    counts = np.arange((scale + 1) // 2, len(course) + 1)
    sums = np.cumsum(course[::-1])[counts - 1]
    gains = sums**2 / counts
    sigma = float(robust_sigma(residuals[None, :], residuals[None, :] != 0)[0])
    plausible = counts[gains >= gains.max() - ONSET_DEVIANCE * sigma**2]
    return int(plausible[-1]), int(counts[np.argmax(gains)]), int(plausible[0])
