"""Singular values of one weight matrix, and what they say about its rank."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.registry import STATISTICS, Family
from bifurk_service.stats.value import (
    ALL_ZERO,
    EMPTY,
    FULL_NOT_SENT,
    INCOMPLETE,
    NO_CONVERGENCE,
    NOT_A_MATRIX,
    NOT_FINITE,
    TOO_NARROW,
    NoValue,
    Value,
)

FLOAT32_PRODUCT_ELEMENTS: Final = 1 << 18
"""From here on the Gram matrix is multiplied out in float32, in half the time; smaller products
take under 3 ms either way."""
FLOAT32_PRODUCT_ASPECT: Final = 0.8
"""Above this p/n the smallest singular value would be lost in the float32 product."""
FLOAT32_PRODUCT_FLOOR: Final = 1e-4
"""A smallest-to-largest eigenvalue ratio below this is too near the float32 product's own noise
(about 1e-7): the product is repeated in float64."""
SINGULAR_VALUE_TOLERANCE: Final = 1e-6
"""Relative, of every singular value above a hundredth of the largest; the largest of large
matrices measured to 4e-8, and to 1e-14 where the product is in float64."""
EFFECTIVE_RANK_TOLERANCE: Final = 1e-4
"""Relative. A Gram matrix shows singular values below 1e-8 of the largest as about 1e-8: of a
matrix of exactly rank one, 512 x 1024, the effective rank reads 1.000008."""


def spectrum_statistics(shape: tuple[int, ...], values: Exact | None) -> dict[str, Value]:
    """Every statistic of ``Family.SPECTRUM``: a float64, or why there is none.

    Args:
        shape: of the whole tensor; convolutions are read as out x rest.
        values: all its elements in row-major order, any shape; None when they were not sent.
    """
    matrix = _matrix(shape, values)
    if isinstance(matrix, NoValue):
        return _none(matrix)
    peak = float(np.max(np.abs(matrix)))
    if peak == 0.0:
        return _none(ALL_ZERO)
    # Entries below 1: neither the squares nor the float32 product overflow.
    exponent = math.frexp(peak)[1]
    scaled = np.ldexp(matrix, -exponent)
    try:
        singular = singular_values(scaled)
    except np.linalg.LinAlgError:
        return _none(NO_CONVERGENCE)
    energy = float(np.sum(np.square(scaled, dtype=np.float64)))
    largest = float(singular[0])
    return {
        "spectral_norm": float(np.ldexp(largest, exponent)),
        "stable_rank": energy / largest**2,
        "effective_rank": _effective_rank(singular),
    }


def singular_values(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """All singular values, float64 [min(rows, columns)], descending.

    From the eigenvalues of the Gram matrix of the shorter side, in float64; several times faster
    than a singular value decomposition, and as exact for all that is above 1e-7 of the largest.

    Args:
        matrix: float32 or float64 [rows, columns], finite; magnitudes near 1, so that squares
            stay inside float32.

    Raises:
        numpy.linalg.LinAlgError: the eigenvalues did not converge.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    short, long = wide.shape
    if wide.size >= FLOAT32_PRODUCT_ELEMENTS and short <= FLOAT32_PRODUCT_ASPECT * long:
        eigenvalues = _gram_eigenvalues(wide.astype(np.float32, copy=False))
        if eigenvalues[-1] >= FLOAT32_PRODUCT_FLOOR * eigenvalues[0]:
            return np.sqrt(eigenvalues)
    return np.sqrt(np.maximum(_gram_eigenvalues(wide.astype(np.float64, copy=False)), 0.0))


def _gram_eigenvalues(wide: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.linalg.eigvalsh((wide @ wide.T).astype(np.float64, copy=False))[::-1]


def _matrix(shape: tuple[int, ...], values: Exact | None) -> NDArray[np.floating] | NoValue:
    if len(shape) < 2:
        return NOT_A_MATRIX
    rows, columns = shape[0], math.prod(shape[1:])
    if rows * columns == 0:
        return EMPTY
    if min(rows, columns) < 2:
        return TOO_NARROW
    if values is None:
        return FULL_NOT_SENT
    if values.data.size != rows * columns:
        return INCOMPLETE
    matrix = values.float32_or_wider().reshape(rows, columns)
    return matrix if bool(np.isfinite(matrix).all()) else NOT_FINITE


def _effective_rank(singular: NDArray[np.float64]) -> float:
    share = singular[singular > 0] / singular.sum()
    # A share may underflow to zero, where p ln p is zero as well.
    share = share[share > 0]
    return math.exp(-float(share @ np.log(share)))


def _none(reason: NoValue) -> dict[str, Value]:
    return {s.name: reason for s in STATISTICS if s.family is Family.SPECTRUM}
