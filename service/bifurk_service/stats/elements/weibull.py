"""The Weibull law that the magnitudes of a tensor follow best in their middle 80 %."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import exp1

from bifurk_service.stats.elements.folding import Expanded, Folded
from bifurk_service.stats.elements.stack import Floats, Kind, Stack

EXPANDED_ELEMENTS: Final = 16_384
"""Up to this size every rank's term is computed; beyond, a value's terms are summed in closed
form, whose error then is below 1e-12 (see ``_mean_over_equal_values``)."""
_SIZES_KEPT: Final = 64
"""Sizes of small tensors whose ordinates are kept: at most 8 MiB."""
NARROW: Final = 0.01
"""Share of the elements up to which the Taylor series over a value's ranks is used: its first
omitted term is below 4e-10 of the sum's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weibull:
    """Fits of T tensors, float64 [T].

    Attributes:
        shape: k. scale: lambda, in the stack's unit.
        has_zeros: bool [T], whether a zero is in the fitted range (then there is no fit).
        all_equal: bool [T], whether the range holds a single magnitude (then there is none either).
    """

    shape: Floats
    scale: Floats
    has_zeros: NDArray[np.bool_]
    all_equal: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Terms:
    """What of each distinct magnitude lies in the fitted range; all float64 [K]."""

    owner: NDArray[np.int64]
    weight: Floats
    log: Floats
    log_variance: Floats
    hazard: Floats
    covariance: Floats


def fitted_ranks(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last i (from 1) with 0.1 <= (i - 1/2)/n <= 0.9, in whole numbers."""
    return (sizes + 14) // 10, (9 * sizes + 5) // 10


def weibull(magnitudes: Folded, sizes: NDArray[np.int64]) -> Weibull:
    """Regression of ln(-ln(1 - F)) on ln |w| (Ding 2026).

    F = (i - 1/2)/n of the i-th smallest magnitude. Elements in an interval are spread evenly over
    it; over its few thousandths the logarithm is taken as straight.

    Args:
        magnitudes: about 0, from the first fitted rank to the last at least.
        sizes: int64 [T], n.
    """
    values = magnitudes.distances
    first, last = _ranks_in_range(magnitudes, sizes)
    inside = np.flatnonzero(last >= first)
    tensors = sizes.size
    present = np.bincount(values.owner[inside], minlength=tensors)
    has_zeros = (
        np.bincount(values.owner[inside[values.values[inside] == 0.0]], minlength=tensors) > 0
    )
    terms = _terms(magnitudes, sizes, first, last, inside)

    heads = np.cumsum(present) - present

    def total(per_term: Floats) -> Floats:
        return np.asarray(np.add.reduceat(per_term, heads))

    weight = total(terms.weight)
    log_mean = total(terms.weight * terms.log) / weight
    hazard_mean = total(terms.weight * terms.hazard) / weight
    log = terms.log - log_mean[terms.owner]
    hazard = terms.hazard - hazard_mean[terms.owner]
    shape = total(terms.weight * (log * hazard + terms.covariance)) / total(
        terms.weight * (log * log + terms.log_variance)
    )
    return Weibull(
        shape=shape,
        scale=np.exp(log_mean - hazard_mean / shape),
        has_zeros=has_zeros,
        all_equal=present < 2,
    )


def weibull_of_elements(magnitudes: Expanded) -> Weibull:
    """The same of small tensors, element by element."""
    lowest, highest = fitted_ranks(magnitudes.sizes)
    counts = highest - lowest + 1
    heads = np.cumsum(counts) - counts
    chosen = np.arange(counts.sum()) + np.repeat(magnitudes.starts + lowest - 1 - heads, counts)
    values = magnitudes.distances[chosen]
    smallest, largest = values[heads], values[heads + counts - 1]
    hazard = np.concatenate([_hazards(size) for size in magnitudes.sizes.tolist()])
    log = np.log(values)
    log_mean = np.add.reduceat(log, heads) / counts
    hazard_mean = np.add.reduceat(hazard, heads) / counts
    log -= np.repeat(log_mean, counts)
    hazard -= np.repeat(hazard_mean, counts)
    shape = np.add.reduceat(log * hazard, heads) / np.add.reduceat(log * log, heads)
    return Weibull(
        shape=shape,
        scale=np.exp(log_mean - hazard_mean / shape),
        has_zeros=smallest == 0.0,
        all_equal=smallest == largest,
    )


@lru_cache(maxsize=_SIZES_KEPT)
def _hazards(size: int) -> Floats:
    """The ordinates ln(-ln(1 - F)) of the fitted ranks; tensors of a model share few sizes."""
    [lowest], [highest] = fitted_ranks(np.array([size]))
    hazards: Floats = np.log(-np.log(1 - (np.arange(lowest, highest + 1) - 0.5) / size))
    hazards.setflags(write=False)
    return hazards


def _ranks_in_range(magnitudes: Folded, sizes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """First and last rank (from 1) of each entry that lie in the fitted range, float64 [K]."""
    values = magnitudes.distances
    below = values.ranks_below() + values.spread(magnitudes.base)
    lowest, highest = fitted_ranks(sizes)
    return (
        np.maximum(below + 1, values.spread(lowest)),
        np.minimum(below + values.counts, values.spread(highest)),
    )


def _terms(
    magnitudes: Folded,
    sizes: NDArray[np.int64],
    first: Floats,
    last: Floats,
    inside: NDArray[np.intp],
) -> _Terms:
    values = magnitudes.distances
    owner, first, last = values.owner[inside], first[inside], last[inside]
    weight = last - first + 1
    size = sizes[owner].astype(np.float64)
    hazard, slope = _mean_hazard(first, last, size)
    middle, width = _spread_over(magnitudes, inside, first, last)
    relative = width / middle
    # Mean, variance and covariance over an evenly filled interval, to the second order.
    return _Terms(
        owner=owner,
        weight=weight,
        log=np.log(middle) - relative**2 / 24,
        log_variance=relative**2 / 12,
        hazard=hazard,
        covariance=relative * slope * (weight / size) / 12,
    )


def _spread_over(
    magnitudes: Folded, inside: NDArray[np.intp], first: Floats, last: Floats
) -> tuple[Floats, Floats]:
    """Middle and width of the part of each interval that lies in the range."""
    values: Stack = magnitudes.distances
    if values.kind is not Kind.ROUNDED:
        return values.values[inside], np.zeros(first.size)
    below = (values.ranks_below() + values.spread(magnitudes.base))[inside]
    per_element = ((values.high - values.low) / values.counts)[inside]
    middle = values.low[inside] + per_element * ((first + last) / 2 - 0.5 - below)
    return middle, per_element * (last - first + 1)


def _mean_hazard(first: Floats, last: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Mean of y = ln(-ln(1 - F)) over ranks first..last, and dy/dF in their middle; float64 [K]."""
    middle = ((first + last) / 2 - 0.5) / size
    u, q = -np.log(1 - middle), 1 / (1 - middle)
    mean = np.empty(first.size)
    small = size <= EXPANDED_ELEMENTS
    mean[small] = _mean_over_ranks(first[small], last[small], size[small])
    large = ~small
    mean[large] = _mean_over_equal_values(
        first[large], last[large], size[large], u=u[large], q=q[large]
    )
    return mean, q / u


def _mean_over_ranks(first: Floats, last: Floats, size: Floats) -> Floats:
    """The mean, rank by rank."""
    if not first.size:
        return first
    counts = (last - first + 1).astype(np.int64)
    starts = np.cumsum(counts) - counts
    rank = np.arange(counts.sum()) + np.repeat(first - starts, counts)
    terms = np.log(-np.log(1 - (rank - 0.5) / np.repeat(size, counts)))
    return np.asarray(np.add.reduceat(terms, starts) / counts)


def _mean_over_equal_values(
    first: Floats, last: Floats, size: Floats, *, u: Floats, q: Floats
) -> Floats:
    """The mean without going through the ranks.

    With u = -ln(1 - F), q = 1/(1 - F) in their middle: y = ln u, y' = q/u, y'' = q^2 (1/u - 1/u^2)
    and so on; the mean over c ranks about it has the second and fourth moments of c equal steps.
    Where a value holds more than ``NARROW`` of the elements, the integral of y, which is
    -exp(-u) ln u - E1(u), with the midpoint rule's first correction.
    """
    count = last - first + 1
    r = 1 / u
    step = count / size
    square = step**2 - 1 / size**2
    second = q**2 * (r - r**2)
    fourth = q**4 * (6 * r - 11 * r**2 + 12 * r**3 - 6 * r**4)
    mean = np.log(u) + square / 24 * second
    mean += square * (3 * step**2 - 7 / size**2) / 5760 * fourth
    wide = np.flatnonzero(step > NARROW)
    if wide.size:
        n = size[wide]
        low, high = (first[wide] - 1) / n, last[wide] / n
        area = _integral(high) - _integral(low) - (_slope(high) - _slope(low)) / (24 * n**2)
        mean[wide] = area / (high - low)
    return mean


def _integral(share: Floats) -> Floats:
    """Of ln(-ln(1 - F)) dF."""
    u = -np.log1p(-share)
    area: Floats = -np.exp(-u) * np.log(u) - exp1(u)
    return area


def _slope(share: Floats) -> Floats:
    return -1 / ((1 - share) * np.log1p(-share))
