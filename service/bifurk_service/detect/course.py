"""The scale detectors work on: logarithms where a statistic is multiplicative, else its own."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.registry import Statistic

LARGEST_VALUE: Final = 1e100
"""Sums of squares of larger ones overflow."""


def on_course(
    statistic: Statistic, values: NDArray[np.float64], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values [S] as detectors see them, and where there is one, bool [S].

    A value that is not finite, absurdly large, or not positive where a logarithm is due, is none;
    0 stands there.
    """
    known = valid & np.isfinite(values)
    safe = np.where(known, values, 0.0)
    if not statistic.log_scale:
        known &= np.abs(safe) < LARGEST_VALUE
        return np.where(known, safe, 0.0), known
    known &= safe > 0
    return np.log(np.where(known, safe, 1.0)), known


def own_units(statistic: Statistic, value: float) -> float:
    """The statistic's own value again."""
    return math.exp(value) if statistic.log_scale else value
