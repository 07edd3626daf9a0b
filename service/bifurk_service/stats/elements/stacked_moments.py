"""Moments and norms of many tensors at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.elements.stack import Stack

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StackedMoments:
    """Moments and norms of T tensors, float64 [T]; what has a unit is in the stack's.

    Attributes:
        mean, std, rms, l1_norm, l2_norm: std is the population's.
        skewness, excess_kurtosis: ratios; NaN where the std is zero.
    """

    mean: Floats
    std: Floats
    rms: Floats
    l1_norm: Floats
    l2_norm: Floats
    skewness: Floats
    excess_kurtosis: Floats


def stacked_moments(tensors: Stack) -> StackedMoments:
    """Moments in two passes about the mean, never as a difference of raw moments."""
    values, counts, sizes = tensors.values, tensors.counts, tensors.sizes
    weighted = values * counts
    mean = tensors.total(weighted) / sizes
    mean_square = tensors.total(weighted * values) / sizes
    deviations = values - tensors.spread(mean)
    # What rounding left of the first moment; far from zero it would show in the third.
    correction = tensors.mean(deviations)
    deviations -= tensors.spread(correction)
    squares = deviations * deviations
    weighted_squares = squares * counts
    variance = tensors.total(weighted_squares) / sizes
    variance[tensors.lengths == 1] = 0.0
    std = np.sqrt(variance)
    third = tensors.total(weighted_squares * deviations) / sizes
    fourth = tensors.total(weighted_squares * squares) / sizes
    return StackedMoments(
        mean=mean + correction,
        std=std,
        rms=np.sqrt(mean_square),
        l1_norm=tensors.total(np.abs(values) * counts),
        l2_norm=np.sqrt(mean_square * sizes),
        skewness=third / std**3,
        excess_kurtosis=fourth / std**4 - 3.0,
    )
