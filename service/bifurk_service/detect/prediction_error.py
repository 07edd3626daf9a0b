"""How far a course's extrapolation may miss when nothing happens: one error for each null."""

from __future__ import annotations

from typing import Final

import numpy as np

from bifurk_service.detect.medians import masked_median, median_size
from bifurk_service.detect.robust_fit import (
    GAUSSIAN_MAD,
    Array,
    Mask,
    Miss,
    lag_one,
    robust_sigma,
)

MEDIAN_VARIANCE: Final = np.pi / 2
"""Variance of a median over that of a mean, for Gaussian noise."""
LARGEST_CORRELATION: Final = 0.97
"""Beyond it, 60 points cannot tell noise that returns from a random walk."""
WALK_CORRELATION: Final = (-0.5, 0.9)
"""Range in which neighbouring increments' correlation is believed."""
CAUTION: Final = 1.7
"""Standard errors by which a correlation is taken to be larger than it looks."""
TIES: Final = 0.1
"""Share of equal neighbours from which on values are taken to be rounded to a grain."""
SURELY: Final = 0.999
"""Keeps a bound on the safe side of rounding."""


def least_error(found: Miss, mask: Mask, scale: int) -> Array:
    """What ``noise_error`` is at least, [S]: that of white noise without a fit's own error.

    Args:
        found: fits of any degree. mask: of their reference points, bool [S, N] or [1, N].
        scale: how many points follow.
    """
    sigma = GAUSSIAN_MAD * median_size(found.residuals, mask)
    error: Array = SURELY * np.sqrt(MEDIAN_VARIANCE / scale) * sigma
    return error


def noise_error(found: Miss, mask: Mask, *, degree: int, scale: int) -> Array:
    """Standard error of the median miss when AR(1) noise surrounds the course, [S].

    Args:
        found: fits of that degree. mask: of their reference points, bool [S, N] or [1, N].
        scale: how many points follow.
    """
    count = mask.sum(axis=1).astype(np.float64)
    sigma = robust_sigma(found.residuals, mask)
    rho = lag_one(found.residuals, mask, sigma)
    sigma = sigma * np.sqrt(count / np.maximum(count - degree - 1, 1))
    # Fitting a polynomial lowers the residuals' correlation; Kendall's correction undoes it. What
    # correlates is taken to do so by one standard error more: the error grows steeply near 1.
    raw = (rho * count + degree + 1) / np.maximum(count - degree - 3, 1)
    room = np.sqrt(np.maximum(1 - raw**2, 0) / np.maximum(count, 1))
    rho = np.clip(raw + CAUTION * np.maximum(raw, 0) * room, 0.0, LARGEST_CORRELATION)
    of_fit = found.leverage * (1 + rho) / (1 - rho)
    error: Array = sigma * np.sqrt(MEDIAN_VARIANCE * _mean_variance(rho, scale) + of_fit)
    return error


def walk_error(times: Array, known: Mask, found: Miss, *, degree: int, scale: int) -> Array:
    """Standard error of the mean miss when the series is a random walk, [S].

    The miss is a weighted sum of increments; each weighs what stands after it in the mean of the
    newest values less what stands after it in the prediction. How large increments are is taken
    from the residuals: a course's own bend is no walk.

    Args:
        times, known: of reference and following points, [S, N + K], or [1, N + K] where shared.
        found: fits of that degree. scale: K.
    """
    pull = np.concatenate([-found.weights, np.full((len(found.weights), scale), 1 / scale)], axis=1)
    share = np.cumsum(pull[:, ::-1], axis=1)[:, ::-1][:, 1:]
    pairs = known[:, 1:] & known[:, :-1]
    gaps = np.where(pairs, np.diff(times, axis=1), 0.0)
    past = pairs[:, :-scale]
    per_root = past / np.sqrt(np.where(gaps > 0, gaps, 1.0)[:, :-scale])
    rates = (found.residuals[:, 1:] - found.residuals[:, :-1]) * per_root
    sigma = robust_sigma(rates, past)
    rho = np.clip(lag_one(rates, past, sigma), *WALK_CORRELATION)
    count = past.sum(axis=1)
    freedom = np.sqrt(count / np.maximum(count - degree, 1))
    spread = np.sqrt(np.einsum("sn,sn->s", share**2, gaps))
    error: Array = sigma * freedom * np.sqrt((1 + rho) / (1 - rho)) * spread
    return error


def grain(values: Array, known: Mask) -> Array:
    """The step between rounded values, [S]; 0 where neighbours hardly ever are the same.

    Args:
        values: float64 [S, N]. known: bool [S, N] or [1, N].
    """
    pairs = known[:, 1:] & known[:, :-1]
    sizes = np.abs(values[:, 1:] - values[:, :-1])
    moved = pairs & (sizes > 0)
    rounded = moved.sum(axis=1) < (1 - TIES) * pairs.sum(axis=1)
    found = np.zeros(len(values))
    if rounded.any():
        found[rounded] = masked_median(sizes[rounded], moved[rounded])
    return found


def _mean_variance(rho: Array, scale: int) -> Array:
    """Variance of the mean of ``scale`` neighbours of a unit AR(1), [S]."""
    rest = np.where(rho < 1, 1 - rho, 1.0)
    variance: Array = ((1 + rho) / rest - 2 * rho * (1 - rho**scale) / (scale * rest**2)) / scale
    return variance
