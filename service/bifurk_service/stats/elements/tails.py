"""The body of a distribution as a truncated normal, and the share of outliers beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import erf

from bifurk_service.stats.elements.folding import expand, fold
from bifurk_service.stats.elements.stack import Floats, Kind, Stack

MAD_TO_STD: Final = 1.4826
"""Standard deviation over median absolute deviation, of a Gaussian."""
OUTLIER_DISTANCE: Final = 6.0
"""Beyond this many robust deviations s a value is an outlier (Gaussian: 2e-9 of all)."""

_SMALL: Final = 0.01
"""Of r^2: below it the closed form cancels; four terms of the series are right to 1e-13."""
_SECANT_STEPS: Final = 6
"""From two neighbours in ``_TABLE``, after which nothing changes beyond rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """Of T tensors, float64 [T]; what has a unit is in the stack's.

    Attributes:
        deviation: s = 1.4826 MAD; 0 where half of the values are equal: then there is no body.
        outlier_share: P(|w - median| > 6 s).
        truncation_ratio: a / sigma_body; 0 where the body is as flat as a uniform or flatter.
        std: sigma_body; infinite there.
    """

    deviation: Floats
    outlier_share: Floats
    truncation_ratio: Floats
    std: Floats


def body(tensors: Stack, median: Floats) -> Body:
    """Fits the body of every tensor.

    The normal is centred at the median and truncated at +-a, a the largest deviation in the body;
    sigma is such that its mean square deviation is the body's (Si, Jiang and Shen 2025 describe
    optimal weights as a truncated Gaussian plus outliers; the fit is ours).

    Args:
        tensors: T tensors. median: [T], in the stack's unit.
    """
    deviation = MAD_TO_STD * median_deviation(tensors, median)
    bound = OUTLIER_DISTANCE * deviation
    distance = np.abs(tensors.values - tensors.spread(median))
    inside = distance <= tensors.spread(bound)
    counts = np.where(inside, tensors.counts, 0.0)
    distance *= inside
    size = tensors.total(counts)
    mean_square = tensors.total(distance * distance * counts) / size
    cut = np.maximum.reduceat(distance, tensors.starts)
    ratio = truncation_ratio(mean_square / (cut * cut))
    return Body(
        deviation=deviation,
        outlier_share=1.0 - _within(tensors, median, bound, size) / tensors.sizes,
        truncation_ratio=ratio,
        std=cut / ratio,
    )


def _within(tensors: Stack, median: Floats, bound: Floats, counted: Floats) -> Floats:
    """How many elements are in the body; rounded ones in proportion of their interval."""
    if tensors.kind is not Kind.ROUNDED:
        return counted
    low, high = (median - bound)[:, None], (median + bound)[:, None]
    return tensors.between(low, high, closed=True)[:, 0]


def median_deviation(tensors: Stack, median: Floats) -> Floats:
    """Median of |w - median|, float64 [T]."""
    middle = (tensors.sizes - 1) / 2
    if tensors.small:
        return expand(tensors, median).at_positions(middle[:, None])[:, 0]
    folded = fold(tensors, median, first=np.floor(middle), last=np.ceil(middle))
    return folded.at_positions(middle[:, None])[:, 0]


def truncation_ratio(mean_square: Floats) -> Floats:
    """The ratio a / sigma of a truncated normal whose mean square over a^2 is known, float64 [T].

    Solves (1 - 2 r phi(r) / erf(r / sqrt 2)) / r^2 = mean_square, which falls from 1/3 at 0, the
    uniform's; there and above 0.
    """
    known = np.clip(mean_square, _TABLE[1][-1], _TABLE[1][0])
    right = np.clip(np.searchsorted(-_TABLE[1], -known), 1, _TABLE[0].size - 1)
    square, other = _TABLE[0][right], _TABLE[0][right - 1]
    gap, other_gap = _mean_square(square) - known, _mean_square(other) - known
    for _ in range(_SECANT_STEPS):
        with np.errstate(divide="ignore", invalid="ignore"):
            step = gap * (other - square) / (other_gap - gap)
        step = np.where(np.isfinite(step), step, 0.0)
        other, other_gap, square = square, gap, np.maximum(square - step, 0.0)
        gap = _mean_square(square) - known
    solved = np.where(mean_square < _TABLE[1][-1], 1.0 / mean_square, square)
    return np.where(mean_square < 1.0 / 3.0, np.sqrt(solved), 0.0)


def _mean_square(square: Floats) -> Floats:
    """Mean square over a^2 of a normal truncated at +-a, of r^2 = (a / sigma)^2."""
    s = np.maximum(square, _SMALL)
    ratio = np.sqrt(s)
    density = np.sqrt(2.0 / np.pi) * np.exp(-s / 2)
    exact = (1.0 - ratio * density / erf(ratio / np.sqrt(2.0))) / s
    series = 1 / 3 + square * (-2 / 45 + square * (2 / 945 + square * (2 / 14_175)))
    return np.where(square > _SMALL, exact, series)


_RATIOS: Final = np.linspace(0.0, 10.0, 201)
_TABLE: Final = (_RATIOS**2, _mean_square(_RATIOS**2))
"""Beyond it, what is cut off is below 1e-22 of all, and the mean square is 1/r^2."""
