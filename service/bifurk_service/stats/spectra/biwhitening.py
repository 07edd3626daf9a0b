"""Rows and columns scaled to equal strength, so that what remains is structure and not scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.gram import FLOAT32, FLOAT64, long_chunks

ROUNDS: Final = 2
"""Each scales the short side's vectors, then the long side's. After two, Gaussian rows are within
1e-3 of unit rms; heavy-tailed ones keep moving for many rounds, without fewer false alarms."""
FLOAT32_RANGE: Final = 1e-12
"""A row or column whose mean square is below this times the largest square has entries whose
squares, times the other side's factors, may vanish in float32: everything is done in float64."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scales:
    """Factors that bring a matrix p x n, p <= n, to unit rms in every row and column.

    Attributes:
        short: float64 [p], of the vectors along the shorter side; long: float64 [n]. 0 for a
            row or column of zeros.
        wide_range: the entries differ so much that products of them need float64.
    """

    short: Floats
    long: Floats
    wide_range: bool


def biwhitening_scales(matrix: NDArray[np.floating], *, squares: Floats, peak: float) -> Scales:
    """Row and column factors after Landa, Zhang and Kluger 2022 (arXiv 2103.13840).

    Sinkhorn's iteration on the squared entries, ``ROUNDS`` times, the shorter side first; rows
    and columns of zeros are left out of the means. To stop after two rounds is ours.

    Args:
        matrix: float32 or float64 [rows, columns], finite.
        squares: float64 [p], sums of squares of the shorter side's vectors: the diagonal of the
            Gram matrix.
        peak: the largest magnitude; near enough to 1 that squares stay inside float32.
    """
    floor = FLOAT32_RANGE * peak**2
    by_long = matrix if matrix.shape[0] > matrix.shape[1] else matrix.T
    if _in_range(squares / by_long.shape[0], floor, by_long.T):
        short, long, least = _factors(matrix, squares, FLOAT32)
        if _in_range(least / by_long.shape[1], FLOAT32_RANGE, by_long):
            return Scales(short=short, long=long, wide_range=False)
    squares = np.zeros(by_long.shape[1])
    for _, entries in long_chunks(matrix):
        squares += np.square(entries, dtype=np.float64).sum(axis=0)
    short, long, _ = _factors(matrix, squares, FLOAT64)
    return Scales(short=short, long=long, wide_range=True)


def _in_range(means: Floats, floor: float, vectors: NDArray[np.floating]) -> bool:
    """Whether mean squares are all above the floor, but those of vectors that are all zero."""
    low = np.flatnonzero(means < floor)
    return not any(bool(vectors[i].any()) for i in low)


def _factors(
    matrix: NDArray[np.floating], squares: Floats, dtype: np.dtype[np.floating]
) -> tuple[Floats, Floats, Floats]:
    """Factors of the short and the long side; the smallest sums over the long side on the way."""
    live_long = max(matrix.shape)
    least = np.full(live_long, np.inf)
    for _ in range(ROUNDS):
        short = _reciprocal(squares, live_long)
        sums, long, squares = _one_round(matrix, short, dtype)
        live_long = int(np.count_nonzero(long))
        least = np.minimum(least, sums)
    return np.sqrt(short), np.sqrt(long), least


def _one_round(
    matrix: NDArray[np.floating], short: Floats, dtype: np.dtype[np.floating]
) -> tuple[Floats, Floats, Floats]:
    """Sums of squares over the long side, its factors, and the sums that these leave.

    One pass: a part of the long side is scaled as soon as it is summed.
    """
    live = int(np.count_nonzero(short))
    weights = short.astype(dtype)
    sums = np.empty(max(matrix.shape))
    factors = np.empty(max(matrix.shape))
    left = np.zeros(min(matrix.shape))
    for part, entries in long_chunks(matrix):
        squared = np.square(entries, dtype=dtype, casting="same_kind")
        sums[part] = squared @ weights
        factors[part] = _reciprocal(sums[part], live)
        left += factors[part].astype(dtype) @ squared
    return sums, factors, left


def _reciprocal(sums: Floats, count: int) -> Floats:
    """The factors that bring mean squares to 1; 0 where there is nothing to bring."""
    return np.divide(count, sums, out=np.zeros_like(sums), where=sums > 0)
