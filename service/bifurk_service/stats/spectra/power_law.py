"""The exponent of a spectrum's tail, with what it rests on, or why it is withheld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.value import NoValue

MINIMUM_TAIL: Final = 50
"""Fewer points say next to nothing of an exponent: over the tails of one Gaussian-like matrix it
ran from 34 (12 points) to 10 (67 points) at equal distance."""
CHUNK_ELEMENTS: Final = 1 << 17
"""Distances computed at a time: 1 MiB in float64, the second-level cache."""

TOO_FEW: Final = NoValue(f"fewer than {MINIMUM_TAIL} eigenvalues are not zero")
SHORT_TAIL: Final = NoValue(f"the best tail has fewer than {MINIMUM_TAIL} points")
NO_TAIL: Final = NoValue("no power law can be fitted: the eigenvalues are equal")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """A density c x^-alpha for x >= x_min.

    Attributes:
        alpha: exponent, above 1. x_min: where the tail begins, in the values' unit.
        ks_distance: largest distance to the empirical distribution of the tail, in [0, 1].
        tail_count: how many values the tail has.
    """

    alpha: float
    x_min: float
    ks_distance: float
    tail_count: int


def fit_power_law(values: Floats) -> PowerLaw | NoValue:
    """The best tail, withheld under ``MINIMUM_TAIL`` points.

    Args:
        values: float64, positive, ascending, any number.
    """
    if values.size < MINIMUM_TAIL:
        return TOO_FEW
    best = best_power_law(values)
    if best is None:
        return NO_TAIL
    return best if best.tail_count >= MINIMUM_TAIL else SHORT_TAIL


def best_power_law(values: Floats) -> PowerLaw | None:
    """The tail that lies nearest to a power law, of all tails of at least two values.

    Every value but the largest is tried as x_min; the exponent is the maximum-likelihood one,
    alpha = 1 + m / sum ln(x / x_min) over the m values of the tail (Clauset, Shalizi and Newman
    2009, Power-law distributions in empirical data, section 3); the distance is taken just below
    each step of the empirical distribution, as WeightWatcher 0.7.7 does, and not on both sides.

    Args:
        values: float64, positive, ascending.

    Returns:
        None where no tail has an exponent: all values are equal.
    """
    logarithms = np.log(values)
    alphas = _exponents(logarithms)
    distances = _distances(logarithms, alphas)
    if not np.isfinite(distances).any():
        return None
    best = int(np.argmin(distances))
    return PowerLaw(
        alpha=float(alphas[best]),
        x_min=float(values[best]),
        ks_distance=float(distances[best]),
        tail_count=values.size - best,
    )


def _exponents(logarithms: Floats) -> Floats:
    """Of the tail from each value but the last; infinite where all of it is equal."""
    counts = np.arange(logarithms.size, 1, -1)
    # From the largest value down, relative to it: no digits are lost on the common scale.
    above = np.cumsum((logarithms - logarithms[-1])[::-1])[::-1][:-1]
    total = above - counts * (logarithms[:-1] - logarithms[-1])
    alphas = np.full(counts.shape, np.inf)
    np.divide(counts, total, out=alphas, where=total > 0)
    return 1 + alphas


def _distances(logarithms: Floats, alphas: Floats) -> Floats:
    """Kolmogorov-Smirnov distance of each tail; infinite without an exponent."""
    size = logarithms.size
    distances = np.full(alphas.shape, np.inf)
    begin = 0
    while begin < alphas.size:
        end = min(alphas.size, begin + max(1, CHUNK_ELEMENTS // (size - begin)))
        distances[begin:end] = _chunk(logarithms[begin:], alphas[begin:end])
        begin = end
    return np.where(np.isfinite(alphas), distances, np.inf)


def _chunk(logarithms: Floats, alphas: Floats) -> Floats:
    """Distances of the tails that begin at the first ``alphas.size`` values."""
    first = np.arange(alphas.size)[:, None]
    counts = logarithms.size - first
    slopes = np.where(np.isfinite(alphas), 1 - alphas, 0.0)[:, None]
    surviving = np.exp(slopes * np.maximum(logarithms - logarithms[first], 0.0))
    # Of the tail that begins at i, the value at j has (j - i) / m of it below.
    below = (np.arange(logarithms.size) - first) / counts
    gaps = np.abs(1 - surviving - below)
    # What lies below x_min is none of this tail's: 0 there, as at x_min itself.
    gaps[np.arange(logarithms.size) < first] = 0.0
    return np.asarray(gaps.max(axis=1))
