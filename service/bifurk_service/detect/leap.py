"""A leap: the level of the newest three values against that of the three before them.

It is held against the series' own past leaps, so whatever has stationary increments (noise, however
correlated; random walks; drifts) is its own null. Where the course bends so much that leaps differ
less from one another than from zero, as early in a training, the change from one leap to the next
is held against its own past instead. Polynomials need a past that they fit; a leap does not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bifurk_service.detect.robust_fit import GAUSSIAN_MAD, Array, Mask

LEAP_SPAN: Final = 3
"""Values on either side; their medians make one wild snapshot harmless."""
LEAST_VALUES: Final = 14
"""Values without which no leap is judged: four changes of leaps in the past."""
UPPER_QUANTILE: Final = 0.9
GAUSSIAN_UPPER: Final = 1.6449
"""The quantile of a Gaussian's absolute value in its standard deviations."""
BEYOND_LARGEST: Final = 1.5
"""A leap must be this many times the largest before, however wild the noise."""
INDEPENDENT_SHARE: Final = 1 / LEAP_SPAN
"""Overlapping leaps are worth this share of their number."""
LARGEST_SHARE: Final = 2.0
"""Leaps over many fewer steps than the newest are not made larger than by this: what a training
does in its first steps is no measure of later ones."""
LEVEL: Final = 3.3
"""Student's quantiles widen short histories' thresholds at this many standard deviations."""


def leaps(times: Array, values: Array, known: Mask, needed: Array) -> tuple[Array, Array]:
    """The newest leap and what it must exceed, both [S].

    Args:
        times: of the values, [S, N], or [1, N] where all share them.
        values: float64 [S, N]; the newest last.
        known: bool [S, N] or [1, N], False on the left where there is no value.
        needed: standard deviations of past leaps that it must exceed, [S].
    """
    middle = _median_of_three(values)
    leap = middle[:, LEAP_SPAN:] - middle[:, :-LEAP_SPAN]
    change = leap[:, LEAP_SPAN:] - leap[:, :-LEAP_SPAN]
    gaps = times[:, LEAP_SPAN + 2 :] - times[:, 2:-LEAP_SPAN]
    plain = _limit(leap, gaps, known, needed)
    bent = _limit(change, gaps[:, LEAP_SPAN:], known, needed)
    newest, turned = leap[:, -1], change[:, -1]
    lesser = np.where(np.abs(turned) < np.abs(newest), turned, newest)
    lesser = np.where(turned * newest > 0, lesser, 0.0)
    return np.where(bent < plain, lesser, newest), np.minimum(bent, plain)


def newest_leap(values: Array) -> Array:
    """The newest leap of series [S, N >= 6], [S]; ``leaps`` finds none that is larger."""
    middle = _median_of_three(values[:, -2 * LEAP_SPAN :])
    leap: Array = middle[:, -1] - middle[:, 0]
    return leap


def leap_thresholds(longest: int, *, threshold: float) -> Array:
    """By number of values, 0 to ``longest``: wider by Student's quantile than at the longest."""
    past = np.maximum(np.arange(longest + 1) - 3 * LEAP_SPAN + 1, 1)
    quantile = -stdtrit(np.maximum(INDEPENDENT_SHARE * past, 1.0), ndtr(-LEVEL))
    by_count: Array = threshold * quantile / quantile[-1]
    return by_count


def _median_of_three(values: Array) -> Array:
    first, second, third = values[:, :-2], values[:, 1:-1], values[:, 2:]
    low, high = np.minimum(first, second), np.maximum(first, second)
    middle: Array = np.maximum(low, np.minimum(high, third))
    return middle


def _limit(moves: Array, gaps: Array, known: Mask, needed: Array) -> Array:
    """What the newest of such moves [S, M] must exceed, [S]; it shares no value with the past."""
    past = np.abs(moves[:, :-LEAP_SPAN])
    mask = known[:, : past.shape[1]]
    limit = _of_past(past, mask, needed)
    before, newest = gaps[:, :-LEAP_SPAN], gaps[:, -1:]
    if np.any((before != newest) & mask):
        # A random walk's leaps grow with the root of the steps they take.
        share = np.minimum(np.sqrt(newest / np.maximum(before, 1)), LARGEST_SHARE)
        limit = np.maximum(limit, _of_past(past * share, mask, needed))
    return limit


def _of_past(past: Array, mask: Mask, needed: Array) -> Array:
    count = np.broadcast_to(mask.sum(axis=1), len(past))
    ordered = np.where(mask, past, -1.0)
    ordered.sort(axis=1)
    rank = ordered.shape[1] - count
    middle = GAUSSIAN_MAD * _at(ordered, rank + count // 2)
    upper = _at(ordered, rank + np.floor(UPPER_QUANTILE * count).astype(np.intp)) / GAUSSIAN_UPPER
    limit = np.maximum(needed * np.maximum(middle, upper), BEYOND_LARGEST * ordered[:, -1])
    return np.where(count > 0, limit, np.inf)


def _at(ordered: Array, places: NDArray[np.intp]) -> Array:
    found: Array = ordered[np.arange(len(ordered)), np.minimum(places, ordered.shape[1] - 1)]
    return found
