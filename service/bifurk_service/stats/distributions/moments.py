"""Moments and norms of weighted values, stable for every magnitude float64 can hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Moments and norms of n elements, in units of 2^exponent where they have a unit.

    Attributes:
        exponent: every element is below 2^exponent in magnitude.
        mean, std, rms, l1_norm, l2_norm: scaled by 2^-exponent; std is the population's.
        skewness, excess_kurtosis: ratios; None where the std is zero.
    """

    exponent: int
    mean: float
    std: float
    rms: float
    l1_norm: float
    l2_norm: float
    skewness: float | None
    excess_kurtosis: float | None

    def unscaled(self, value: float) -> float:
        """A scaled value in the elements' own unit; infinite where that exceeds float64."""
        try:
            return math.ldexp(value, self.exponent)
        except OverflowError:
            return math.copysign(math.inf, value)

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(values - mean) / std, same shape; the std must not be zero."""
        return (np.ldexp(values, -self.exponent) - self.mean) / self.std


def moments(values: NDArray[np.float64], counts: NDArray[np.int64]) -> Moments:
    """Moments of elements given as distinct values [K] and how often each occurs [K], K >= 1.

    In two passes about the mean, never as a difference of raw moments; scaled by a power of two
    first, which rounds nothing and keeps fourth powers inside float64.
    """
    size = int(counts.sum())
    exponent = int(np.frexp(np.max(np.abs(values)))[1])
    scaled = np.ldexp(values, -exponent)
    weights = counts / size
    mean = float(scaled @ weights)
    deviations = scaled - mean
    # What rounding left of the first moment; far from zero it would show in the third.
    correction = float(deviations @ weights)
    deviations -= correction
    squares = deviations * deviations
    std = math.sqrt(float(squares @ weights))
    mean_square = float((scaled * scaled) @ weights)
    return Moments(
        exponent=exponent,
        mean=mean + correction,
        std=std,
        rms=math.sqrt(mean_square),
        l1_norm=float(np.abs(scaled) @ counts),
        l2_norm=math.sqrt(mean_square * size),
        skewness=float((squares * deviations) @ weights) / std**3 if std else None,
        excess_kurtosis=float((squares * squares) @ weights) / std**4 - 3.0 if std else None,
    )
