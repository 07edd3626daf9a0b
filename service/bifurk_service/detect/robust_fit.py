"""Huber polynomial fits of many short series at once, and how far they miss what came after.

A fit is a projection on polynomials made orthogonal over the series' own times: no matrix is
inverted, and series of different lengths go through together. Series that share their times, as
all of a run do that missed no snapshot, share the polynomials too. Every series is summed up by
itself, in one order: to the last bit its fit is what it would be alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.medians import masked_median, median_size

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
SECOND_DIFFERENCE_SD: Final = float(np.sqrt(6.0))
"""Standard deviation of x[i+1] - 2 x[i] + x[i-1] in units of white noise's."""
WINSORISED_VARIANCE: Final = 0.7785
"""Variance of a unit Gaussian clipped at ``HUBER_WIDTH``."""
CORRELATION_WIDTH: Final = 3.0
"""Residuals are pulled in to this many standard deviations before they are correlated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """Polynomials orthogonal over the reference windows of S series, or over the one they share.

    B below is S, or 1 where it is shared; arrays of either broadcast against [S, ...].

    Attributes:
        columns: float64 [B, D, N + K]; degrees 0 to D - 1 over the whole window.
        inside: the same over the N reference points, zero where there is none, [B, D, N].
        sizes: their sums of squares, [B, D].
        mask: which reference points there are, bool [B, N].
    """

    columns: Array
    inside: Array
    sizes: Array
    mask: Mask

    def of(self, rows: NDArray[np.intp]) -> Basis:
        """The polynomials of some of the series."""
        if len(self.mask) == 1:
            return self
        return Basis(
            columns=self.columns[rows],
            inside=self.inside[rows],
            sizes=self.sizes[rows],
            mask=self.mask[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Miss:
    """How S fits miss the K points that follow their reference window of N points.

    Attributes:
        residuals: of the reference window, float64 [S, N]; zero where there is no point.
        after: of the points that follow, float64 [S, K].
        leverage: variance of the mean of the K predictions in units of the noise's, [B].
        weights: that mean as a linear combination of the reference values, [B, N].
    """

    residuals: Array
    after: Array
    leverage: Array
    weights: Array

    def of(self, rows: NDArray[np.intp]) -> Miss:
        """Of some of the series."""
        if len(rows) == len(self.residuals):
            return self
        shared = len(self.leverage) == 1 != len(self.residuals)
        return Miss(
            residuals=self.residuals[rows],
            after=self.after[rows],
            leverage=self.leverage if shared else self.leverage[rows],
            weights=self.weights if shared else self.weights[rows],
        )


def basis_of(times: Array, known: Mask, *, reference: int, degree: int) -> Basis:
    """Polynomials orthogonal over the known ones of the first ``reference`` times.

    Args:
        times: float64 [B, N + K], ascending within each series.
        known: bool [B, N + K], False where there is no point.
        reference: N.
        degree: the highest, 1 or 2.
    """
    mask = known[:, :reference]
    count = np.maximum(mask.sum(axis=1), 1).astype(np.float64)
    centre = _dot(times[:, :reference] * mask, mask.astype(np.float64)) / count
    from_centre = times - centre[:, None]
    reach = np.max(np.abs(from_centre[:, :reference]) * mask, axis=1, initial=0.0)
    u = from_centre / np.where(reach > 0, reach, 1.0)[:, None]
    inside = u[:, :reference] * mask
    second, third = _dot(inside, inside), _dot(inside * inside, inside)
    columns = [np.ones_like(u), u]
    if degree == 2:
        skew = np.divide(third, second, out=np.zeros_like(third), where=second > 0)
        columns.append(u * (u - skew[:, None]) - (second / count)[:, None])
    stacked = np.stack(columns, axis=1)
    within = stacked[:, :, :reference] * mask[:, None, :]
    sizes = np.maximum(np.einsum("sdn,sdn->sd", within, within), np.finfo(float).tiny)
    return Basis(columns=stacked, inside=within, sizes=sizes, mask=mask)


def miss(basis: Basis, values: Array) -> Miss:
    """Fits the reference points of every series and extrapolates to the rest.

    Args:
        values: float64 [S, N + K]; the last K must all be known.
    """
    reference = basis.mask.shape[1]
    target = values[:, :reference]
    if not basis.mask.all():
        target = np.where(basis.mask, target, 0.0)
    coefficients, residuals = _huber(basis, target)
    mean_after = basis.columns[:, :, reference:].mean(axis=2)
    pull = mean_after / basis.sizes
    return Miss(
        residuals=residuals,
        after=values[:, reference:] - _curve(coefficients, basis.columns[:, :, reference:]),
        leverage=_dot(mean_after, pull),
        weights=np.einsum("sd,sdn->sn", pull, basis.inside),
    )


def robust_sigma(residuals: Array, mask: Mask) -> Array:
    """Standard deviation of residuals around zero, [S], little moved by a few wild ones.

    The larger of two estimates, both exact for a Gaussian: the median absolute residual, and
    the root mean square of residuals clipped at ``HUBER_WIDTH`` of it.
    """
    mad = GAUSSIAN_MAD * median_size(residuals, mask)
    clipped = _clip(residuals, HUBER_WIDTH * mad) * mask
    count = np.maximum(mask.sum(axis=1), 1)
    sigma: Array = np.maximum(mad, np.sqrt(_dot(clipped, clipped) / (count * WINSORISED_VARIANCE)))
    return sigma


def lag_one(residuals: Array, mask: Mask, sigma: Array) -> Array:
    """Autocorrelation of neighbouring residuals, [S]; 0 where all vanish.

    Args:
        sigma: their standard deviation, [S]; wilder ones are pulled in.
    """
    clipped = _clip(residuals, CORRELATION_WIDTH * sigma) * mask
    power = _dot(clipped, clipped)
    product = _dot(clipped[:, 1:], clipped[:, :-1])
    correlation: Array = np.divide(product, power, out=np.zeros_like(power), where=power > 0)
    return correlation


def _huber(basis: Basis, target: Array) -> tuple[Array, Array]:
    """Coefficients and residuals by pseudo-values (Huber 1981, section 7.8), [S, D] and [S, N]."""
    mask = None if basis.mask.all() else basis.mask
    middle = masked_median(target, mask)
    rest = _only(target - middle[:, None], mask)
    spread = GAUSSIAN_MAD * median_size(rest, mask)
    coefficients = _project(_pulled_in(rest, WINSOR_START * spread), basis)
    coefficients[:, 0] += middle
    for _ in range(HUBER_ROUNDS):
        rest = _only(_residuals(basis, target, coefficients), mask)
        mad = GAUSSIAN_MAD * median_size(rest, mask)
        coefficients += _project(_pulled_in(rest, HUBER_WIDTH * mad), basis)
    return coefficients, _only(_residuals(basis, target, coefficients), mask)


def _residuals(basis: Basis, target: Array, coefficients: Array) -> Array:
    curve = _curve(coefficients, basis.inside)
    return np.subtract(target, curve, out=curve)


def _only(values: Array, mask: Mask | None) -> Array:
    """What the mask lets through, zero elsewhere; in the same array."""
    return values if mask is None else np.multiply(values, mask, out=values)


def _project(values: Array, basis: Basis) -> Array:
    """Coefficients of values [S, N] on the polynomials, [S, D]."""
    shared = len(basis.mask) == 1
    inside, subscripts = (basis.inside[0], "dn,sn->sd") if shared else (basis.inside, "sdn,sn->sd")
    coefficients: Array = np.einsum(subscripts, inside, values) / basis.sizes
    return coefficients


def _curve(coefficients: Array, columns: Array) -> Array:
    """Values [S, N] of polynomials [B, D, N] with coefficients [S, D]."""
    shared = len(columns) == 1
    columns, subscripts = (columns[0], "sd,dn->sn") if shared else (columns, "sd,sdn->sn")
    curve: Array = np.einsum(subscripts, coefficients, columns)
    return curve


def _pulled_in(values: Array, width: Array) -> Array:
    """Values [S, N] clipped to plus or minus a width [S], in the same array."""
    np.maximum(values, -width[:, None], out=values)
    return np.minimum(values, width[:, None], out=values)


def _clip(values: Array, width: Array) -> Array:
    low = np.maximum(values, -width[:, None])
    return np.minimum(low, width[:, None], out=low)


def _dot(left: Array, right: NDArray[np.float64] | Mask) -> Array:
    product: Array = np.einsum("sn,sn->s", left, right)
    return product
