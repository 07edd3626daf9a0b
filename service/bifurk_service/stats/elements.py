"""Statistics of one tensor's elements whatever their places: moments, quantiles, shape, modes.

Of bfloat16 and float16 tensors, and of small tensors, every statistic is that of the exact
values. Of large float32 and float64 tensors the values are known to the nearest bfloat16; the
tolerances below say what that costs.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bifurk_service.stats.dip import dip
from bifurk_service.stats.distribution import Distribution
from bifurk_service.stats.moments import Moments, moments
from bifurk_service.stats.registry import STATISTICS, Family
from bifurk_service.stats.value import ALL_EQUAL, EMPTY, NO_FINITE, UNRESOLVED, Value

ROUNDED_VALUE_TOLERANCE: Final = 2.0**-8
"""Relative, of ``min``, ``max``, ``std`` and the norms from rounded counts (of ``mean`` in units of
``rms``): half a bfloat16 step just above a power of two. Of the sums only outliers come near it."""
ROUNDED_QUANTILE_TOLERANCE: Final = 2.0**-7
"""Relative, of quantiles from rounded counts: a whole step, if all of a bin is at one end of it."""
ROUNDED_SHAPE_TOLERANCE: Final = 2.0**-6
"""In units of 1 + |value|, of skewness and excess kurtosis from rounded counts: the fourth power
of one outlier rounded by 2^-8."""
ROUNDED_SHARE_TOLERANCE: Final = 2.0**-8
"""Absolute, of shares near zero, the KS distance and the dip from rounded counts, for densities
without a jump inside a bin; measured up to 0.0012 where ``Distribution.is_coarse`` just lets pass.
"""

DIP_POINTS: Final = 2_000
"""A larger tensor is represented by this many quantiles: one step of their distribution function
is a fifth of ``DIP_FLOOR``, and the dip's cost stays below a millisecond."""
DIP_FLOOR: Final = 0.0025
"""Two modes this faint are not worth a word, however many values prove them."""
DIP_NOISE: Final = 0.75
"""0.1 % point of sqrt(n) x dip for a uniform sample, the unimodal one with the largest dip: 0.744
in 4,000 samples of 2,000."""

_QUANTILES: Final = {
    "quantile_p0_1": 0.001,
    "quantile_p1": 0.01,
    "quantile_p5": 0.05,
    "quantile_p25": 0.25,
    "quantile_p50": 0.5,
    "quantile_p75": 0.75,
    "quantile_p95": 0.95,
    "quantile_p99": 0.99,
    "quantile_p99_9": 0.999,
}
_MAGNITUDE_QUANTILES: Final = {"abs_quantile_p50": 0.5, "abs_quantile_p99": 0.99}
_NEAR_ZERO: Final = {"near_zero_mass_0_01": 0.01, "near_zero_mass_0_1": 0.1}
_DIP: Final = ("dip", "dip_ratio")
_SHAPE: Final = (
    "skewness",
    "excess_kurtosis",
    *_NEAR_ZERO,
    "gaussian_ks_distance",
    *_DIP,
)
"""What has no value where there is no spread."""


def element_statistics(distribution: Distribution) -> dict[str, Value]:
    """Every statistic of ``Family.ELEMENTS``: a float64 (infinite where float64 ends), or why not.

    Non-finite elements are counted, and left out of everything else.
    """
    total = distribution.size + distribution.nonfinite
    counted: dict[str, Value] = {
        "count": float(total),
        "nonfinite_count": float(distribution.nonfinite),
    }
    if distribution.size == 0:
        return {
            s.name: NO_FINITE if total else EMPTY for s in STATISTICS if s.family is Family.ELEMENTS
        } | counted
    about = moments(distribution.values, distribution.counts)
    return (
        counted
        | _levels(distribution, about)
        | _quantiles(distribution)
        | _spread(distribution, about)
    )


def dip_points(distribution: Distribution) -> NDArray[np.float64]:
    """The ascending values whose dip is taken, float64 [at most ``DIP_POINTS``].

    All elements of a small tensor, otherwise quantiles at (i + 1/2) / ``DIP_POINTS``. Elements on
    a 16-bit grid are spread over their bins: what is left is the shape of the density rather than
    that of the number format.
    """
    if distribution.size <= DIP_POINTS:
        return distribution.order_statistics(smooth=True)
    return distribution.quantiles((np.arange(DIP_POINTS) + 0.5) / DIP_POINTS, smooth=True)


def dip_threshold(size: int) -> float:
    """The dip that a unimodal sample of this size does not reach."""
    return max(DIP_FLOOR, DIP_NOISE / math.sqrt(size))


def _levels(distribution: Distribution, about: Moments) -> dict[str, Value]:
    values = distribution.values
    zero = np.searchsorted(values, 0.0)
    zeros = distribution.counts[zero] if zero < values.size and values[zero] == 0.0 else 0
    return {
        "zero_share": float(zeros) / distribution.size,
        "mean": about.unscaled(about.mean),
        "min": float(values[0]),
        "max": float(values[-1]),
        "l1_norm": about.unscaled(about.l1_norm),
        "l2_norm": about.unscaled(about.l2_norm),
        "rms": about.unscaled(about.rms),
    }


def _quantiles(distribution: Distribution) -> dict[str, Value]:
    plain = distribution.quantiles(np.array(list(_QUANTILES.values())))
    of_magnitude = distribution.magnitudes().quantiles(
        np.array(list(_MAGNITUDE_QUANTILES.values()))
    )
    names = (*_QUANTILES, *_MAGNITUDE_QUANTILES)
    return dict(zip(names, [*plain.tolist(), *of_magnitude.tolist()], strict=True))


def _spread(distribution: Distribution, about: Moments) -> dict[str, Value]:
    """Standard deviation and shape, as far as the number grid lets them be seen."""
    std = about.unscaled(about.std)
    coarse = distribution.is_coarse(std=std)
    if coarse and not distribution.lossless:
        return dict.fromkeys(("std", *_SHAPE), UNRESOLVED)
    if about.skewness is None or about.excess_kurtosis is None:
        return {"std": std} | dict.fromkeys(_SHAPE, ALL_EQUAL)
    return {
        "std": std,
        "skewness": about.skewness,
        "excess_kurtosis": about.excess_kurtosis,
        **{name: distribution.share_within(t * std) for name, t in _NEAR_ZERO.items()},
        "gaussian_ks_distance": _gaussian_ks_distance(distribution, about),
        **(dict.fromkeys(_DIP, UNRESOLVED) if coarse else _dip(distribution, about)),
    }


def _gaussian_ks_distance(distribution: Distribution, about: Moments) -> float:
    """Both sides of every step; of rounded values the ends of their bins, where F is known."""
    low, high = distribution.known_ends
    below = distribution.ranks_below / distribution.size
    through = (distribution.ranks_below + distribution.counts) / distribution.size
    fitted_low = ndtr(about.standardised(low))
    fitted_high = fitted_low if high is low else ndtr(about.standardised(high))
    return float(max(np.max(np.abs(below - fitted_low)), np.max(np.abs(through - fitted_high))))


def _dip(distribution: Distribution, about: Moments) -> dict[str, Value]:
    # In scaled units the gaps between the points stay inside float64.
    distance = dip(np.ldexp(dip_points(distribution), -about.exponent))
    return {"dip": distance, "dip_ratio": distance / dip_threshold(distribution.size)}
