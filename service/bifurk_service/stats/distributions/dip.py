"""Hartigan's dip: how far a sample is from having a single mode."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

MINIMUM_SIZE: Final = 4
"""Fewer values than this fit some unimodal distribution as well as a step function can."""
DIP_FLOOR: Final = 0.0025
"""Two modes this faint are not worth a word, however many values prove them."""
DIP_NOISE: Final = 0.75
"""0.1 % point of sqrt(n) x dip for a uniform sample, the unimodal one with the largest dip: 0.744
in 4,000 samples of 2,000."""
_SCALED_EXPONENT: Final = 1_000
"""Of the largest value: sums of gaps need some of the 1,024 as well."""


def dip_threshold(size: int) -> float:
    """The dip that a unimodal sample of this size does not reach."""
    return max(DIP_FLOOR, DIP_NOISE / math.sqrt(size))


def dip(ascending: NDArray[np.float64]) -> float:
    """The dip statistic of one sample, in [1/(2n), 1/4].

    The largest distance between the empirical distribution function and the nearest unimodal
    one. Follows the iteration of Hartigan and Hartigan 1985 (The dip test of unimodality, Annals
    of Statistics 13, section 3): on a shrinking modal interval the greatest convex minorant
    and the least concave majorant are fitted; outside it their distance to the empirical
    function is what no unimodal distribution can avoid. Ties count as values infinitely close
    together. Distances are counted in ranks; fitting the corners just below and just above
    every step adds one rank to each of them.

    Args:
        ascending: float64 [n], finite, n >= 1, sorted; gaps between neighbours within float64.
    """
    low, high = 0, ascending.size - 1
    unavoidable = 1.0
    if ascending.size < MINIMUM_SIZE or ascending[low] == ascending[high]:
        return unavoidable / (2 * ascending.size)
    ascending = _with_finite_slopes(ascending)
    ranks = np.arange(ascending.size, dtype=np.float64)
    while True:
        window = ascending[low : high + 1]
        rank = ranks[: window.size]
        minorant, majorant = _convex_minorant(window, rank), _concave_majorant(window, rank)
        left, right, gap = _modal_interval(minorant, majorant)
        if gap <= unavoidable:
            break
        below = (rank[: left + 1] - minorant.fit[: left + 1]).max() + 1.0
        above = (majorant.fit[right:] - rank[right:]).max() + 1.0
        unavoidable = max(unavoidable, float(below), float(above))
        if right - left in (0, high - low):
            break
        low, high = low + left, low + right
    return unavoidable / (2 * ascending.size)


def _with_finite_slopes(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sample, times a power of two where a rank over a subnormal gap is beyond float64."""
    gaps = ascending[1:] - ascending[:-1]
    if gaps.min(where=gaps > 0.0, initial=np.inf) >= np.finfo(np.float64).tiny:
        return ascending
    exponent = math.frexp(max(-ascending[0], ascending[-1]))[1]
    return np.ldexp(ascending, max(0, _SCALED_EXPONENT - exponent))


class _Hull(NamedTuple):
    """A polygon: its value at every point of a window, and the points where it touches."""

    fit: NDArray[np.float64]
    touch: NDArray[np.intp]


def _modal_interval(minorant: _Hull, majorant: _Hull) -> tuple[int, int, float]:
    """Where the two fits are farthest apart, as positions [left, right], and how far."""
    gap = majorant.fit - minorant.fit
    at_minorant = minorant.touch[gap[minorant.touch].argmax()]
    at_majorant = majorant.touch[gap[majorant.touch].argmax()]
    if gap[at_minorant] > gap[at_majorant]:
        left = at_minorant
        right = majorant.touch[majorant.touch.searchsorted(left, side="left")]
    else:
        right = at_majorant
        left = minorant.touch[minorant.touch.searchsorted(right, side="right") - 1]
    return int(left), int(right), float(max(gap[at_minorant], gap[at_majorant])) + 1.0


def _convex_minorant(window: NDArray[np.float64], rank: NDArray[np.float64]) -> _Hull:
    """Greatest convex function under the points (value, rank).

    With the axes exchanged it is the least concave function over the points (rank, value), whose
    slopes are the decreasing regression of the gaps: so ties need no infinite slope.
    """
    touch = isotonic_regression(window[1:] - window[:-1], increasing=False).blocks
    fit = np.interp(window, window[touch], rank[touch])
    # Among values tied with the largest the function climbs straight up.
    top = window.searchsorted(window[-1], side="left")
    fit[top:] = rank[top:]
    return _Hull(fit, touch)


def _concave_majorant(window: NDArray[np.float64], rank: NDArray[np.float64]) -> _Hull:
    """Least concave function over the points (value, rank)."""
    touch = isotonic_regression(window[1:] - window[:-1], increasing=True).blocks
    fit = np.interp(window, window[touch], rank[touch])
    bottom = window.searchsorted(window[0], side="right")
    fit[:bottom] = rank[:bottom]
    return _Hull(fit, touch)
