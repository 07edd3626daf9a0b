"""How far series stand out from their past, in thresholds: by courses missed, and by leaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bifurk_service.detect.leap import leap_thresholds, leaps
from bifurk_service.detect.prediction_error import grain, least_error, noise_error, walk_error
from bifurk_service.detect.robust_fit import Array, Basis, Mask, Miss, basis_of, miss
from bifurk_service.detect.shift_window import Window
from bifurk_service.stats.registry import Nature, Statistic

RESOLUTION: Final = 1e-9
"""A statistic's own rounding, relative to its size: no noise is taken to be smaller."""
SCALE_EFFICIENCY: Final = 0.7
"""Degrees of freedom a robust scale leaves of a plain one's."""
DEGREES: Final = (1, 2)
CLEARLY: Final = 0.5
"""Errors must be so much smaller by the logarithms of steps to go by them."""
LEVEL: Final = 3.7
"""Student's quantiles widen short windows' thresholds at this many standard deviations."""
GRAINS: Final = 3.0
"""A leap of rounded values must exceed this many of their steps."""


class ShiftTest:
    """Scores windows of one statistic's series: signed, [S], 0 where one does not stand out.

    Args:
        statistic: unless it is stationary it sums up updates, and a random walk is a null too.
        reference: longest window of the past, in values. longest: all values remembered.
        threshold, leap: in standard errors, and in standard deviations of past leaps.
        least_change: a leap below it is none.
    """

    def __init__(
        self,
        statistic: Statistic,
        *,
        reference: int,
        longest: int,
        threshold: float,
        leap: float,
        least_change: float,
    ) -> None:
        self._log_scale = statistic.log_scale
        self._integrated = statistic.nature is not Nature.STATIONARY
        self._reference = reference
        self._threshold = threshold
        self._least_change = least_change
        self._thresholds = _thresholds(reference, threshold)
        self._leap_thresholds = leap_thresholds(longest, threshold=leap)

    def of_leap(self, window: Window, counts: NDArray[np.int64]) -> Array:
        """By the newest leap; counts of known values, int [S]."""
        needed = self._leap_thresholds[counts]
        leap, limit = leaps(window.times, window.values, window.known, needed)
        out = np.flatnonzero(np.abs(leap) >= limit)
        few = window.some(out)
        limit[out] = np.maximum(limit[out], GRAINS * grain(few.values, few.known))
        real = (limit > self._rounding(window.values)) & (np.abs(leap) >= self._least_change)
        scores: Array = np.where(real, leap / np.where(real, limit, 1.0), 0.0)
        return scores

    def of_miss(self, window: Window, counts: NDArray[np.int64], scale: int) -> Array:
        """By the newest ``scale`` values; counts of known values, int [S].

        Of the courses the one that is missed least; 0 where they are missed to either side.
        """
        past = np.minimum(counts - scale, self._reference)
        scores = np.full(len(counts), np.inf)
        left = np.arange(len(counts))
        for degree in DEGREES:
            z = self._miss_in_errors(window.some(left), scale=scale, degree=degree)
            scores[left] = lesser(scores[left], z / self._thresholds[degree][past[left]])
            left = left[scores[left] != 0]
            if not len(left):
                break
        return scores

    def _miss_in_errors(self, window: Window, *, scale: int, degree: int) -> Array:
        """By the axis on which the past is followed best, [S]; 0 where that is no alarm at all."""
        bases = [
            basis_of(axis, window.known, reference=self._reference, degree=degree)
            for axis in window.axes()
        ]
        z = np.zeros(len(window.values))
        fits = [miss(basis, window.values) for basis in bases]
        out = np.flatnonzero(self._may_be_out(fits, bases, scale=scale))
        if not len(out):
            return z
        few = window.some(out)
        missed, error = self._miss_and_error(
            few, fits[0].of(out), bases[0].of(out), scale=scale, degree=degree
        )
        for fit, basis in zip(fits[1:], bases[1:], strict=True):
            other, smaller = self._miss_and_error(
                few, fit.of(out), basis.of(out), scale=scale, degree=degree
            )
            better = smaller < CLEARLY * error
            missed, error = np.where(better, other, missed), np.where(better, smaller, error)
        error = self._with_grain(few, missed, error)
        moved = error > self._rounding(few.values)
        z[out] = np.where(moved, missed / np.where(moved, error, 1.0), 0.0)
        return z

    def _may_be_out(self, fits: Sequence[Miss], bases: Sequence[Basis], *, scale: int) -> Mask:
        """Where some fit is missed by more than the least error it can have, bool [S].

        That takes a median for each series; its error takes most of what a fit takes.
        """
        may: list[Mask] = [
            np.abs(inner_middle(fit.after)) >= self._threshold * least_error(fit, basis.mask, scale)
            for fit, basis in zip(fits, bases, strict=True)
        ]
        some: Mask = np.any(may, axis=0)
        return some

    def _miss_and_error(
        self, window: Window, found: Miss, basis: Basis, *, scale: int, degree: int
    ) -> tuple[Array, Array]:
        error = noise_error(found, basis.mask, degree=degree, scale=scale)
        if self._integrated:
            walk = walk_error(window.times, window.known, found, degree=degree, scale=scale)
            error = np.maximum(error, walk)
        return inner_middle(found.after), error

    def _with_grain(self, window: Window, missed: Array, error: Array) -> Array:
        """Errors that count what rounding the values adds, where that may decide."""
        out = np.flatnonzero(np.abs(missed) >= self._threshold * error)
        few = window.some(out)
        error[out] = np.hypot(error[out], grain(few.values, few.known))
        return error

    def _rounding(self, values: Array) -> Array:
        if self._log_scale:
            return np.full(len(values), RESOLUTION)
        size = np.maximum(values.max(axis=1), -values.min(axis=1))
        floor: Array = RESOLUTION * np.maximum(size, np.finfo(np.float64).tiny)
        return floor


def lesser(before: Array, found: Array) -> Array:
    """Signed scores: the smaller in size, 0 where either is below 1 or they disagree in sign.

    Args:
        before: of the tests so far; infinite where there was none.
    """
    agreed = (np.abs(found) >= 1) & (np.isinf(before) | (np.sign(before) == np.sign(found)))
    return np.where(agreed, np.sign(found) * np.minimum(np.abs(before), np.abs(found)), 0.0)


def inner_middle(after: Array) -> Array:
    """What more than half of the values [S, K] reach on one side, [S]; 0 where no side has them.

    A median of an even number is half a value wilder: in heavy tails that is most false alarms.
    """
    ordered = np.sort(after, axis=1)
    scale = after.shape[1]
    below, above = ordered[:, (scale - 1) // 2], ordered[:, scale // 2]
    middle: Array = np.maximum(below, 0.0) + np.minimum(above, 0.0)
    return middle


def _thresholds(reference: int, threshold: float) -> dict[int, Array]:
    """By degree and number of reference points: wider by Student's quantile than at the longest."""
    level = ndtr(-LEVEL)
    counts = np.arange(reference + 1)
    thresholds = {}
    for degree in DEGREES:
        freedom = np.maximum(SCALE_EFFICIENCY * (counts - degree - 1), 1.0)
        quantile = -stdtrit(freedom, level)
        thresholds[degree] = threshold * quantile / quantile[-1]
    return thresholds
