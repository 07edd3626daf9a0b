"""What the singular vectors look like: spread or localised, constant, random, or turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bifurk_service.stats.spectra.biwhitening import Scales
from bifurk_service.stats.spectra.gram import long_chunks

MINIMUM_LENGTH: Final = 200
"""Vectors must be longer than this for their components to be compared with the normal law."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorShape:
    """What the two vectors of one singular value look like.

    Attributes:
        row_participation, column_participation: see ``participation_ratios``; of the vector over
            the rows (the left one) and of the one over the columns.
        row_constant_overlap, column_constant_overlap: see ``constant_overlaps``.
    """

    row_participation: float
    column_participation: float
    row_constant_overlap: float
    column_constant_overlap: float


def vector_shapes(left: Floats, right: Floats) -> list[VectorShape]:
    """Shapes of pairs of unit vectors: [rows, k] and [columns, k]."""
    return [
        VectorShape(
            row_participation=row,
            column_participation=column,
            row_constant_overlap=row_constant,
            column_constant_overlap=column_constant,
        )
        for row, column, row_constant, column_constant in zip(
            participation_ratios(left).tolist(),
            participation_ratios(right).tolist(),
            constant_overlaps(left).tolist(),
            constant_overlaps(right).tolist(),
            strict=True,
        )
    ]


def long_side_vectors(
    matrix: NDArray[np.floating],
    short_vectors: Floats,
    *,
    scales: Scales | None = None,
) -> Floats:
    """The partners of singular vectors, along the longer side: float64 [n, k], of unit length.

    W^T u, normalised. A vector whose singular value is zero has no partner: zeros.

    Args:
        matrix: [rows, columns] in either order.
        short_vectors: float64 [p, k].
        scales: the factors of a scaled matrix, which is never made.
    """
    weighted = short_vectors if scales is None else scales.short[:, None] * short_vectors
    if scales is None or not scales.wide_range:
        weighted = weighted.astype(matrix.dtype)
    partners = np.empty((max(matrix.shape), short_vectors.shape[1]))
    for part, entries in long_chunks(matrix):
        partners[part] = entries @ weighted
    if scales is not None:
        partners *= scales.long[:, None]
    lengths = np.linalg.norm(partners, axis=0)
    return np.asarray(np.divide(partners, lengths, out=np.zeros_like(partners), where=lengths > 0))


def participation_ratios(vectors: Floats) -> Floats:
    """1 / (m sum u^4) of unit vectors [m, k]: float64 [k], 1/m (one entry) to 1 (all equal).

    1/3 for random directions.
    """
    fourth = np.asarray(np.sum(np.square(np.square(vectors)), axis=0))
    # A vector of zeros (the partner of a zero singular value) is spread over nothing.
    spread = np.zeros_like(fourth)
    np.divide(1, vectors.shape[0] * fourth, out=spread, where=fourth > 0)
    return spread


def constant_overlaps(vectors: Floats) -> Floats:
    """|<u, 1>| / sqrt(m) of unit vectors [m, k]: float64 [k], in [0, 1].

    About sqrt(2 / (pi m)) for random directions.
    """
    overlaps = np.abs(np.sum(vectors, axis=0)) / math.sqrt(vectors.shape[0])
    return np.asarray(np.minimum(overlaps, 1.0))


def normality(vectors: Floats) -> float:
    """Largest KS distance of sqrt(m) u to N(0, 1) over unit vectors [m, k], times sqrt(m).

    Components of random directions are normal (squared: the law of Porter and Thomas); one
    vector exceeds 1.63 in 1 % of cases, the largest of 16 exceeds 2.0.
    """
    length = vectors.shape[0]
    expected = ndtr(math.sqrt(length) * np.sort(vectors, axis=0))
    steps = (np.arange(length + 1) / length)[:, None]
    above, below = np.max(steps[1:] - expected), np.max(expected - steps[:-1])
    return float(max(above, below) * math.sqrt(length))


def subspace_overlap(now: Floats, then: NDArray[np.floating]) -> float:
    """Mean squared cosine of the principal angles between two subspaces, in [0, 1].

    |U^T V|_F^2 / r (Golub and Van Loan 2013, section 6.4).

    Args:
        now, then: orthonormal columns, [m, r].
    """
    cosines = now.T @ then.astype(np.float64)
    mean_square: float = float(np.sum(np.square(cosines))) / now.shape[1]
    return min(mean_square, 1.0)
