"""Huber polynomial fits of many short series at once, and how far they miss what came after.

Every series has its own times, so a fit is a projection on polynomials made orthogonal over
those times: no matrix is inverted, and series of different lengths go through together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

HUBER_WIDTH: Final = 1.5
"""Residuals beyond this many standard deviations are pulled in: 96 % efficient for a Gaussian."""
HUBER_ROUNDS: Final = 4
"""Each round shrinks the pull of one wild value about thirtyfold."""
WINSOR_START: Final = 6.0
"""Values this many deviations from the median are pulled in before the first round."""
GAUSSIAN_MAD: Final = 1.4826
"""Standard deviation over median absolute deviation of a Gaussian."""
WINSORISED_VARIANCE: Final = 0.7785
"""Variance of a unit Gaussian clipped at ``HUBER_WIDTH``."""
CORRELATION_WIDTH: Final = 3.0
"""Residuals are pulled in to this many standard deviations before they are correlated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Miss:
    """How S fits miss the K points that follow their reference window of N points.

    Attributes:
        residuals: of the reference window, float64 [S, N]; zero where there is no point.
        after: of the points that follow, float64 [S, K].
        leverage: variance of the mean of the K predictions in units of the noise's, [S].
        weights: that mean as a linear combination of the reference values, [S, N].
    """

    residuals: Array
    after: Array
    leverage: Array
    weights: Array


def miss(times: Array, values: Array, *, known: Mask, reference: int, degree: int) -> Miss:
    """Fits the first ``reference`` points of every series and extrapolates to the rest.

    Args:
        times: float64 [S, N + K], ascending within each series.
        values: float64 [S, N + K].
        known: bool [S, N + K], False where there is no point; the last K must all be known.
        reference: N.
        degree: of the polynomial, 1 or 2.
    """
    mask = known[:, :reference]
    basis, sizes = _orthogonal(times, mask, degree=degree)
    inside = basis[:, :, :reference] * mask[:, None, :]
    target = np.where(mask, values[:, :reference], 0.0)
    coefficients = _huber(inside, sizes, target, mask)
    mean_after = basis[:, :, reference:].mean(axis=2)
    pull = mean_after / sizes
    return Miss(
        residuals=(target - np.einsum("sd,sdn->sn", coefficients, inside)) * mask,
        after=values[:, reference:]
        - np.einsum("sd,sdk->sk", coefficients, basis[:, :, reference:]),
        leverage=np.einsum("sd,sd->s", mean_after, pull),
        weights=np.einsum("sd,sdn->sn", pull, inside),
    )


def masked_median(values: Array, mask: Mask) -> Array:
    """Median along the last axis of what the mask lets through, [S]; 0 where it lets nothing."""
    count = mask.sum(axis=1)
    ordered = np.sort(np.where(mask, values, np.inf), axis=1)
    rows = np.arange(len(ordered))
    low = ordered[rows, np.maximum(count - 1, 0) // 2]
    high = ordered[rows, np.minimum(count // 2, ordered.shape[1] - 1)]
    empty = count == 0
    return (np.where(empty, 0.0, low) + np.where(empty, 0.0, high)) / 2


def robust_sigma(residuals: Array, mask: Mask) -> Array:
    """Standard deviation of residuals around zero, [S], little moved by a few wild ones.

    The larger of two estimates, both exact for a Gaussian: the median absolute residual, and
    the root mean square of residuals clipped at ``HUBER_WIDTH`` of it.
    """
    mad = GAUSSIAN_MAD * masked_median(np.abs(residuals), mask)
    clipped = _clip(residuals, HUBER_WIDTH * mad) * mask
    count = np.maximum(mask.sum(axis=1), 1)
    sigma: Array = np.maximum(mad, np.sqrt(_dot(clipped, clipped) / (count * WINSORISED_VARIANCE)))
    return sigma


def lag_one(residuals: Array, mask: Mask) -> Array:
    """Autocorrelation of neighbouring residuals, [S]; wild ones pulled in; 0 where all vanish."""
    width = CORRELATION_WIDTH * robust_sigma(residuals, mask)
    clipped = _clip(residuals, width) * mask
    power = _dot(clipped, clipped)
    product = np.einsum("sn,sn->s", clipped[:, 1:], clipped[:, :-1])
    correlation: Array = np.divide(product, power, out=np.zeros_like(power), where=power > 0)
    return correlation


def _orthogonal(times: Array, mask: Mask, *, degree: int) -> tuple[Array, Array]:
    """Polynomials orthogonal over the masked times, [S, degree + 1, N + K], and their sizes."""
    reference = mask.shape[1]
    count = np.maximum(mask.sum(axis=1), 1).astype(np.float64)
    centre = _dot(times[:, :reference] * mask, mask) / count
    from_centre = times - centre[:, None]
    reach = np.max(np.abs(from_centre[:, :reference]) * mask, axis=1, initial=0.0)
    u = from_centre / np.where(reach > 0, reach, 1.0)[:, None]
    inside = u[:, :reference] * mask
    second, third = _dot(inside, inside), np.einsum("sn,sn,sn->s", inside, inside, inside)
    columns = [np.ones_like(u), u]
    sizes = [count, second]
    if degree == 2:
        skew = np.divide(third, second, out=np.zeros_like(third), where=second > 0)
        bend = u * (u - skew[:, None]) - (second / count)[:, None]
        columns.append(bend)
        bent = bend[:, :reference] * mask
        sizes.append(_dot(bent, bent))
    return np.stack(columns, axis=1), np.maximum(np.stack(sizes, axis=1), np.finfo(float).tiny)


def _huber(inside: Array, sizes: Array, target: Array, mask: Mask) -> Array:
    """Coefficients by projection of pseudo-values (Huber 1981, section 7.8), [S, degree + 1]."""
    middle = masked_median(target, mask)
    spread = GAUSSIAN_MAD * masked_median(np.abs(target - middle[:, None]), mask)
    start = (middle[:, None] + _clip(target - middle[:, None], WINSOR_START * spread)) * mask
    coefficients: Array = np.einsum("sdn,sn->sd", inside, start) / sizes
    for _ in range(HUBER_ROUNDS):
        residuals = (target - np.einsum("sd,sdn->sn", coefficients, inside)) * mask
        mad = GAUSSIAN_MAD * masked_median(np.abs(residuals), mask)
        pulled = _clip(residuals, HUBER_WIDTH * mad)
        coefficients = coefficients + np.einsum("sdn,sn->sd", inside, pulled) / sizes
    return coefficients


def _clip(values: Array, width: Array) -> Array:
    return np.clip(values, -width[:, None], width[:, None])


def _dot(left: Array, right: NDArray[np.float64] | Mask) -> Array:
    product: Array = np.einsum("sn,sn->s", left, right)
    return product
