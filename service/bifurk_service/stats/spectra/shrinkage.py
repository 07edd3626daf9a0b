"""Row and column factors without what noise alone puts into them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.biwhitening import Scales

LIMIT: Final = 3.0
"""No factor is moved by more than this times its own noise (Efron and Morris 1972): a lone row or
column of another scale would be pulled in with the rest, and stick out as an outlier."""

Floats = NDArray[np.float64]


def shrunk(scales: Scales) -> Scales:
    """Factors that even out the scales that rows and columns have, and no more.

    Rows of equal scale differ in rms by chance, and by the share each has of a direction:
    evening that out takes the direction's own energy. So factors of which noise explains the
    spread become equal; those that differ by far more stay as they are.

    Args:
        scales: that bring each row and column to unit rms.
    """
    live_short, live_long = (int(np.count_nonzero(side)) for side in (scales.short, scales.long))
    return replace(
        scales,
        short=_towards_equal(scales.short, entries=live_long),
        long=_towards_equal(scales.long, entries=live_short),
    )


def _towards_equal(factors: Floats, *, entries: int) -> Floats:
    """Logarithms moved towards their mean by noise over observed variance, at most all the way.

    The positive-part estimator of James and Stein 1961 for many means, of limited translation.
    The logarithm of the rms of m Gaussian values has variance 1/(2 m); heavier tails have more,
    and their factors are kept the better for it.

    Args:
        factors: float64 [vectors], 0 for a vector of zeros, which stays.
        entries: m, of which each is the reciprocal rms.
    """
    live = factors > 0
    logarithms = np.log(factors[live])
    departures = logarithms - logarithms.mean()
    noise = 1 / (2 * entries)
    share = noise / max(float(np.mean(departures**2)), noise)
    moved = np.clip(share * departures, -LIMIT * noise**0.5, LIMIT * noise**0.5)
    even = factors.copy()
    even[live] *= np.exp(-moved)
    return even
