"""The power-law exponent of a tail, where there is a tail to speak of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.value import NoValue

MIN_TAIL: Final = 50
"""With fewer points the exponent's standard error is over a seventh of (exponent - 1)."""
MIN_SPAN: Final = 2.0
"""A tail that ends before twice its start is the edge of a bulk: any exponent fits it."""
KS_FACTOR: Final = 1.25
"""1 % point of sqrt(n) x KS for an exponential of estimated mean, which the logarithm of a power
law is (Lilliefors 1969); the start of least distance makes the test milder than that."""

STARTS: Final = 200
"""Tails tried at most: at equal ranks, so that the start is right to half a percent of them."""
REMEMBERED: Final = 256
"""Fits kept by content: spectra come less often than snapshots."""

FEW_VALUES: Final = NoValue(f"the tail has fewer than {MIN_TAIL} values")
NARROW: Final = NoValue(f"the tail spans less than a factor of {MIN_SPAN:g}")
NO_POWER_LAW: Final = NoValue("the tail is no power law")


@dataclass(frozen=True, slots=True, kw_only=True)
class TailFit:
    """A power law p(x) ~ x^-exponent from ``start`` on.

    Attributes:
        exponent: of the density, above 1. stderr: (exponent - 1) / sqrt(size).
        start: the smallest value of the tail. size: values in it, at least ``MIN_TAIL``.
        ks_distance: largest gap to the fitted law.
    """

    exponent: float
    stderr: float
    start: float
    size: int
    ks_distance: float


def fit_tail(values: NDArray[np.float64]) -> TailFit | NoValue:
    """Maximum-likelihood exponent from the start of least KS distance, or why there is none.

    Clauset, Shalizi and Newman 2009, every start tried that leaves ``MIN_TAIL`` values, or
    ``STARTS`` of them at equal ranks; the gates are ours. Values that are not positive are left
    out.

    Args:
        values: float64 [N], any order.
    """
    return _fit_ordered(np.sort(values[values > 0.0]).tobytes())


@lru_cache(maxsize=REMEMBERED)
def _fit_ordered(ascending: bytes) -> TailFit | NoValue:
    ordered = np.frombuffer(ascending, dtype=np.float64)
    if ordered.size < MIN_TAIL:
        return FEW_VALUES
    if not ordered[-1] >= MIN_SPAN * ordered[-MIN_TAIL]:
        return NARROW
    logs = np.log(ordered)
    ranks = np.linspace(0, ordered.size - MIN_TAIL, STARTS).astype(np.int64)
    starts = np.unique(np.searchsorted(ordered, ordered[ranks]))
    fits = [_fit(logs[start:]) for start in starts]
    best = int(np.argmin([distance for _, distance in fits]))
    slope, distance = fits[best]
    size = ordered.size - int(starts[best])
    if distance > KS_FACTOR / math.sqrt(size):
        return NO_POWER_LAW
    start = float(ordered[starts[best]])
    if not ordered[-1] >= MIN_SPAN * start:
        return NARROW
    return TailFit(
        exponent=1.0 + slope,
        stderr=slope / math.sqrt(size),
        start=start,
        size=size,
        ks_distance=distance,
    )


def _fit(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Slope of the tail beyond its first value, and the KS distance to it; both sides of a step."""
    above = logs - logs[0]
    total = float(above.sum())
    if total == 0.0:
        return math.inf, 1.0
    slope = above.size / total
    fitted = -np.expm1(-slope * above)
    steps = np.arange(above.size + 1) / above.size
    gap = max(float(np.max(steps[1:] - fitted)), float(np.max(fitted - steps[:-1])))
    return slope, gap
