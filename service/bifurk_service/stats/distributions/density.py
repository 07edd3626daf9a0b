"""The density of a tensor's values over equal bins, for drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.distributions.deviation import deviation
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.distributions.spread import Spread, smooth_spread
from bifurk_service.stats.value import ALL_EQUAL, ALL_ZERO, EMPTY, NO_FINITE, NoValue

DensityUnit: TypeAlias = Literal["weight", "sigma", "log_magnitude"]

ALONE_HALF_WIDTH: Final = 0.5
"""A single value v is drawn between v - |v|/2 and v + |v|/2, zero between -1/2 and 1/2."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """Densities over equal bins.

    Attributes:
        edges: float64 [B + 1], ascending, in the unit asked for.
        density: float64 [B], per unit; its sum times the bin width is ``covered``.
        covered: the share of the finite values that lie between the edges; with
            ``log_magnitude`` zeros lie nowhere.
        finite, nonfinite, zeros: how many values there are of each; zeros are finite ones.
    """

    edges: NDArray[np.float64]
    density: NDArray[np.float64]
    covered: float
    finite: int
    nonfinite: int
    zeros: int


def density(
    distribution: Distribution,
    *,
    bins: int,
    unit: DensityUnit = "weight",
    low: float | None = None,
    high: float | None = None,
) -> Density:
    """The density of a distribution's values over bins of equal width.

    Values on a 16-bit grid are spread evenly over what rounds to them, so that bins finer than
    the grid show the density and not the grid; values known exactly stay where they are.

    Args:
        distribution: of one tensor, or of several pooled.
        bins: how many, at least 1.
        unit: ``weight``, the weights' own; ``sigma``, divided by the population standard
            deviation and not centred (by 1 where it is zero); ``log_magnitude``, log10 of |w|,
            so that the density is per decade.
        low, high: first and last edge in that unit; the extremes where None. Bins are half
            open, the last one closed, as numpy's.

    Raises:
        ValueError: fewer than one bin, or edges that are not finite, not in order, further apart
            than float64 reaches, or too close to be told apart.
    """
    if bins < 1:
        raise ValueError(f"at least 1 bin, got {bins}")
    with np.errstate(all="ignore"):
        spread = _drawn_elements(distribution, unit)
        scale = _Scale(unit=unit, sigma=_sigma(distribution) if unit == "sigma" else 1.0)
        edges, in_weights = _edges(spread, scale, bins=bins, low=low, high=high)
        below = np.append(
            spread.below(in_weights[:-1]), spread.below(in_weights[-1:], side="right")
        )
        shares = np.diff(below) / max(1, distribution.size)
        per_unit = shares / np.diff(edges)
    if not np.isfinite(per_unit).all():
        raise ValueError(f"{bins} bins from {edges[0]} to {edges[-1]} are too thin for float64")
    return Density(
        edges=edges,
        density=per_unit,
        covered=float(shares.sum()),
        finite=distribution.size,
        nonfinite=distribution.nonfinite,
        zeros=_zeros(distribution),
    )


def nothing_to_draw(distribution: Distribution, unit: DensityUnit) -> NoValue | None:
    """Why a distribution has no density in this unit; None where it has one."""
    if distribution.size == 0:
        return NO_FINITE if distribution.nonfinite else EMPTY
    if unit == "sigma" and distribution.values.size == 1:
        return ALL_EQUAL
    if unit == "log_magnitude" and _zeros(distribution) == distribution.size:
        return ALL_ZERO
    return None


def _drawn_elements(distribution: Distribution, unit: DensityUnit) -> Spread:
    if unit != "log_magnitude" or distribution.size == 0:
        return smooth_spread(distribution)
    magnitudes = smooth_spread(distribution.magnitudes())
    kept = slice(1 if _zeros(distribution) else 0, None)
    return Spread(
        low=magnitudes.low[kept], high=magnitudes.high[kept], counts=magnitudes.counts[kept]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Between the weights' own unit and the one that is drawn."""

    unit: DensityUnit
    sigma: float

    def drawn(self, weight: float) -> float:
        if self.unit == "log_magnitude":
            return math.log10(weight)
        return float(np.float64(weight) / self.sigma)

    def in_weights(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.unit == "log_magnitude":
            return np.power(10.0, edges)
        return edges * self.sigma


def _edges(
    spread: Spread, scale: _Scale, *, bins: int, low: float | None, high: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The edges as drawn and in the weights' own unit, float64 [bins + 1] each."""
    first, last = _first_and_last(spread, scale, low=low, high=high)
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ValueError(f"edges must be finite, got {first} and {last}")
    if not first < last:
        raise ValueError(f"low must be below high, got {first} and {last}")
    if not math.isfinite(last - first):
        raise ValueError(f"edges {first} and {last} are further apart than float64 reaches")
    edges = np.linspace(first, last, bins + 1)
    if not (np.diff(edges) > 0.0).all():
        raise ValueError(f"{bins} bins from {first} to {last} are too thin for float64")
    in_weights = scale.in_weights(edges)
    if spread.counts.size:
        # There and back again may miss an extreme by a rounding error, and its elements with it.
        if low is None:
            in_weights[0] = min(in_weights[0], float(spread.low[0]))
        if high is None:
            in_weights[-1] = max(in_weights[-1], float(spread.high[-1]))
    return edges, in_weights


def _first_and_last(
    spread: Spread, scale: _Scale, *, low: float | None, high: float | None
) -> tuple[float, float]:
    if low is not None and high is not None:
        return low, high
    if spread.counts.size:
        first = low if low is not None else scale.drawn(float(spread.low[0]))
        last = high if high is not None else scale.drawn(float(spread.high[-1]))
        if first < last:
            return first, last
        middle = last if low is None else first
    else:
        middle = next((edge for edge in (low, high) if edge is not None), 0.0)
    # The values span nothing, or lie beyond the one edge that is given.
    half = abs(middle) / 2 or ALONE_HALF_WIDTH
    return (
        low if low is not None else middle - half,
        high if high is not None else middle + half,
    )


def _sigma(distribution: Distribution) -> float:
    return (deviation(distribution) if distribution.size else 0.0) or 1.0


def _zeros(distribution: Distribution) -> int:
    at = int(np.searchsorted(distribution.values, 0.0))
    found = at < distribution.values.size and distribution.values[at] == 0.0
    return int(distribution.counts[at]) if found else 0
