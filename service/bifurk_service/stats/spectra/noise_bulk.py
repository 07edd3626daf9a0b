"""The bulk of noise fitted to a spectrum, what lies beyond it, and how well it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.marchenko_pastur import distribution, edges, quantiles
from bifurk_service.stats.spectra.noise_bulk_null import ks_null_99
from bifurk_service.stats.spectra.tracy_widom import (
    HARD_EDGE_ASPECT,
    lower_threshold,
    upper_threshold,
)
from bifurk_service.stats.value import NoValue

MINIMUM_SIDE: Final = 32
"""Edges and their thresholds are those of large matrices; below this no verdict is given."""
CENTRAL: Final = (0.1, 0.9)
"""Shares of the bulk between which it is fitted: the ends are where structure shows."""
LEAST_BULK: Final = 0.5
"""Where fewer than this share of the values is left, they are no bulk of noise."""
ZERO_SINGULAR_VALUE: Final = 1e-6
"""Relative to the largest: what a Gram matrix cannot tell from zero."""

TOO_SMALL: Final = NoValue(
    f"fewer than {MINIMUM_SIDE} rows or columns: random-matrix theory says nothing of so few"
)
NO_BULK: Final = NoValue("fewer than half of the singular values look like noise")
LOW_RANK: Final = NoValue("half of the singular values are zero: there is no noise to compare with")

HARD_EDGE: Final = NoValue(
    f"no lower edge is told where p/n is above {HARD_EDGE_ASPECT}: zero is too near"
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkFit:
    """A Marchenko-Pastur bulk and what it rests on; singular values in the matrix's unit.

    Attributes:
        short, long: p and n, p <= n, of the matrix without rows and columns of zeros.
        sigma: entry standard deviation of the noise.
        lower_edge, upper_edge: of the law, sigma sqrt(n) (1 -+ sqrt(p/n)) with p and n less what
            the outliers take.
        lower_threshold, upper_threshold: what noise crosses in 0.25 % of matrices, each; no lower
            one for matrices that are nearly square.
        below, above: how many values lie beyond the thresholds.
        ks_distance: of the values in between to the law, in [0, 1].
        ks_null_99: what that distance exceeds for 1 % of noise matrices.
    """

    short: int
    long: int
    sigma: float
    lower_edge: float
    upper_edge: float
    lower_threshold: float | None
    upper_threshold: float
    below: int
    above: int
    ks_distance: float
    ks_null_99: float


def fit_bulk(singular: Floats, *, short: int, long: int) -> BulkFit | NoValue:
    """Fits the noise of a spectrum and sets aside what is none.

    sigma is started from the median estimator of Gavish and Donoho 2014 (arXiv 1305.5870) and
    fitted by least squares between the values' quantiles and the law's, over the central 80 % of
    what lies between the thresholds; both are repeated until no value changes sides (fit ours,
    after Staats, Thamm and Rosenow 2024). Values set aside shrink the matrix that the rest is
    compared with, see ``_Law``.

    Args:
        singular: float64 [short], descending, not negative.
        short, long: sides of the matrix, short <= long.
    """
    if short < MINIMUM_SIDE:
        return TOO_SMALL
    ascending = singular[::-1]
    median = float(np.median(ascending))
    if median <= ZERO_SINGULAR_VALUE * ascending[-1]:
        return LOW_RANK
    law = _Law(short, long)
    sigma = median / float(quantiles(np.array(0.5), short, long))
    seen: set[tuple[int, int]] = set()
    while (kept := law.inside(ascending, sigma)) not in seen:
        seen.add(kept)
        if kept[1] - kept[0] < LEAST_BULK * short:
            return NO_BULK
        law = _Law(short, long, above=short - kept[1], below=kept[0])
        sigma = _fitted_sigma(ascending[slice(*kept)], law)
    return _described(ascending[slice(*kept)], sigma, law)


@dataclass(frozen=True, slots=True)
class _Law:
    """What is expected of the noise when some values have been set aside.

    A direction that is not noise takes its share of the matrix with it: k strong ones leave
    the noise of (p - k) x (n - k) entries; one along which there is hardly any gain leaves
    (p - 1) x n.
    """

    full_short: int
    full_long: int
    above: int = 0
    below: int = 0

    @property
    def short(self) -> int:
        return self.full_short - self.above - self.below

    @property
    def long(self) -> int:
        return self.full_long - self.above

    @property
    def lower(self) -> float | None:
        """The lower threshold for sigma = 1; whether there is one is the whole matrix's matter.

        Like the upper one, of the noise that there would be if the last value set aside were
        noise itself: otherwise setting it aside would make it look the more like an outlier.
        """
        if lower_threshold(self.full_short, self.full_long) is None:
            return None
        return lower_threshold(self.short + (self.below > 0), self.long)

    @property
    def upper(self) -> float:
        """The upper threshold for sigma = 1."""
        doubted = self.above > 0
        return upper_threshold(self.short + doubted, self.long + doubted)

    def inside(self, ascending: Floats, sigma: float) -> tuple[int, int]:
        """Where the values between the thresholds begin and end."""
        lower = self.lower
        begin = 0 if lower is None else int(ascending.searchsorted(lower * sigma, side="left"))
        return begin, int(ascending.searchsorted(self.upper * sigma, side="right"))


def _described(bulk: Floats, sigma: float, law: _Law) -> BulkFit:
    low, high = edges(law.short, law.long)
    lower = law.lower
    return BulkFit(
        short=law.full_short,
        long=law.full_long,
        sigma=sigma,
        lower_edge=sigma * low,
        upper_edge=sigma * high,
        lower_threshold=None if lower is None else sigma * lower,
        upper_threshold=sigma * law.upper,
        below=law.below,
        above=law.above,
        ks_distance=_ks_distance(bulk / sigma, law.short, law.long),
        ks_null_99=ks_null_99(law.short, law.long),
    )


def _fitted_sigma(bulk: Floats, law: _Law) -> float:
    begin, end = (math.floor(share * bulk.size) for share in CENTRAL)
    shares = (np.arange(begin, end) + 0.5) / bulk.size
    expected = quantiles(shares, law.short, law.long)
    return float(bulk[begin:end] @ expected / (expected @ expected))


def _ks_distance(bulk: Floats, short: int, long: int) -> float:
    expected = distribution(bulk, short, long)
    steps = np.arange(bulk.size + 1) / bulk.size
    return float(max(np.max(steps[1:] - expected), np.max(expected - steps[:-1])))
