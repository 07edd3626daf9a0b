"""One look at one matrix: its singular values, the noise in them, and what lies beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.biwhitening import Scales
from bifurk_service.stats.spectra.gram import FLOAT32, FLOAT64, gram, short_side_squares
from bifurk_service.stats.spectra.noise_bulk import BulkFit, fit_bulk
from bifurk_service.stats.spectra.singular_vectors import (
    VectorShape,
    long_side_vectors,
    vector_shapes,
)
from bifurk_service.stats.spectra.tridiagonal import (
    Eigensystem,
    Solver,
    reduce_symmetric,
)
from bifurk_service.stats.value import NoValue

FLOAT32_PRODUCT_ELEMENTS: Final = 1 << 18
"""From here on the Gram matrix is multiplied out in float32, in half the time; smaller products
take under 3 ms either way."""
FLOAT32_PRODUCT_ASPECT: Final = 0.8
"""Above this p/n the smallest singular value would be lost in the float32 product."""
FLOAT32_PRODUCT_FLOOR: Final = 1e-4
"""A smallest-to-largest eigenvalue ratio below this is too near the float32 product's own noise
(about 1e-7): the product is repeated in float64."""
OUTLIER_VECTORS: Final = 32
"""Outliers whose vectors are looked at: the largest ones first. A matrix with more has no few
directions of its own."""
SEPARATION: Final = 1e-6
"""Relative to the largest: singular values nearer to each other than this have vectors that
rounding turns as it likes."""

NOT_ALONE: Final = NoValue("the largest singular values are equal: none has a direction of its own")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A singular value that the noise of its matrix does not have.

    Attributes:
        value: in the matrix's unit. side: ``above`` or ``below`` the bulk.
        vectors: what its two vectors look like; None beyond the first ``OUTLIER_VECTORS``.
    """

    value: float
    side: str
    vectors: VectorShape | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """Singular values with their noise bulk.

    Attributes:
        singular: float64 [p], descending. energy: their sum of squares.
        squares: float64 [p], sums of squares of the shorter side's vectors.
        bulk: the fit. outliers: largest first, and none where there is no fit.
        largest: what the vectors of the largest value look like.
        leading, trailing: float64 [p, r], vectors along the shorter side of the r largest and of
            the r smallest values.
    """

    singular: Floats
    energy: float
    squares: Floats
    bulk: BulkFit | NoValue
    outliers: tuple[Outlier, ...]
    largest: VectorShape | NoValue
    leading: Floats
    trailing: Floats


def look_at(
    matrix: NDArray[np.floating],
    *,
    short: int,
    long: int,
    scales: Scales | None = None,
    ends: int = 0,
    solver: Solver = reduce_symmetric,
) -> Pass:
    """Singular values and noise bulk of a matrix, as it is or with its sides scaled.

    Args:
        matrix: float32 or float64 [rows, columns], finite, not all zero; magnitudes near 1.
        short, long: its sides, p <= n, without rows and columns of zeros.
        scales: factors of both sides.
        ends: how many vectors to return of each end.
        solver: finds the eigenvalues.

    Raises:
        numpy.linalg.LinAlgError: the eigenvalues or vectors did not converge.
    """
    product = _product(matrix, scales)
    squares = product.diagonal().copy()
    found = solver(product)
    if scales is None and _needs_float64(matrix, found.eigenvalues):
        product = gram(matrix, FLOAT64)
        squares = product.diagonal().copy()
        found = solver(product)
    singular = np.sqrt(np.maximum(found.eigenvalues, 0.0))
    bulk = fit_bulk(singular[:short], short=short, long=long)
    above, below = (0, 0) if isinstance(bulk, NoValue) else (bulk.above, bulk.below)
    alone = singular[0] - singular[1] > SEPARATION * singular[0]
    places = np.concatenate((np.arange(above), np.arange(short - below, short)))
    shapes = _shapes(matrix, found, places[:OUTLIER_VECTORS], scales)
    return Pass(
        singular=singular,
        energy=float(squares.sum()),
        squares=squares,
        bulk=bulk,
        outliers=tuple(
            Outlier(
                value=float(singular[place]),
                side="above" if place < above else "below",
                vectors=shapes.get(int(place)),
            )
            for place in places
        ),
        largest=shapes[0] if alone else NOT_ALONE,
        leading=_vectors(found, 0, ends),
        trailing=_vectors(found, short - ends, short),
    )


def _product(matrix: NDArray[np.floating], scales: Scales | None) -> Floats:
    short, long = sorted(matrix.shape)
    large = matrix.size >= FLOAT32_PRODUCT_ELEMENTS and short <= FLOAT32_PRODUCT_ASPECT * long
    if scales is None:
        product = gram(matrix, FLOAT32 if large else FLOAT64)
        if large:
            np.fill_diagonal(product, short_side_squares(matrix))
        return product
    wide = FLOAT64 if scales.wide_range else FLOAT32
    product = gram(matrix, wide if large else FLOAT64, long_scale=scales.long)
    product *= scales.short
    product *= scales.short[:, None]
    return product


def _needs_float64(matrix: NDArray[np.floating], eigenvalues: Floats) -> bool:
    """Whether a float32 product was too coarse for the smallest eigenvalue."""
    short, long = sorted(matrix.shape)
    if matrix.size < FLOAT32_PRODUCT_ELEMENTS or short > FLOAT32_PRODUCT_ASPECT * long:
        return False
    return bool(eigenvalues[-1] < FLOAT32_PRODUCT_FLOOR * eigenvalues[0])


def _vectors(found: Eigensystem, begin: int, end: int) -> Floats:
    return found.vectors(begin, end) if end > begin else np.empty((found.eigenvalues.size, 0))


def _shapes(
    matrix: NDArray[np.floating],
    found: Eigensystem,
    places: NDArray[np.intp],
    scales: Scales | None,
) -> dict[int, VectorShape]:
    """What the vectors at these places of the spectrum look like, and those of the first."""
    wanted = sorted({0, *places.tolist()})
    leading = sum(1 for at, place in enumerate(wanted) if at == place)
    trailing = wanted[leading:]
    short_vectors = found.vectors(0, leading)
    if trailing:
        lowest = found.vectors(trailing[0], trailing[-1] + 1)
        short_vectors = np.concatenate((short_vectors, lowest), axis=1)
    long_vectors = long_side_vectors(matrix, short_vectors, scales=scales)
    tall = matrix.shape[0] > matrix.shape[1]
    pair = (long_vectors, short_vectors) if tall else (short_vectors, long_vectors)
    return dict(zip(wanted, vector_shapes(*pair), strict=True))
