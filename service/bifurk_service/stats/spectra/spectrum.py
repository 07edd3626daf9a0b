"""The singular spectrum of one weight matrix against random-matrix theory."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.spectra.biwhitening import biwhitening_scales
from bifurk_service.stats.spectra.matrix_spectrum import MatrixSpectrum
from bifurk_service.stats.spectra.noise_bulk import (
    MINIMUM_SIDE,
    TOO_SMALL,
    ZERO_SINGULAR_VALUE,
    BulkFit,
)
from bifurk_service.stats.spectra.power_law import PowerLaw, fit_power_law
from bifurk_service.stats.spectra.shrinkage import shrunk
from bifurk_service.stats.spectra.spectrum_pass import Pass, look_at
from bifurk_service.stats.spectra.spectrum_statistics import (
    biwhitened_statistics,
    power_law_statistics,
    rank_statistics,
    raw_bulk_statistics,
    vector_statistics,
)
from bifurk_service.stats.spectra.tridiagonal import Solver, reduce_symmetric
from bifurk_service.stats.value import (
    ALL_ZERO,
    EMPTY,
    FULL_NOT_SENT,
    INCOMPLETE,
    NO_CONVERGENCE,
    NOT_A_MATRIX,
    NOT_FINITE,
    TOO_LARGE,
    TOO_NARROW,
    NoValue,
    Value,
)

__all__ = [
    "MatrixSpectrum",
    "matrix_of",
    "measure_spectrum",
    "no_spectrum",
]

SINGULAR_VALUE_TOLERANCE: Final = 4e-6
"""Relative, of every singular value above a hundredth of the largest; measured up to 1.8e-6 on
trained weights, the largest of large matrices to 4e-8, and to 1e-14 with the product in float64."""
EFFECTIVE_RANK_TOLERANCE: Final = 1e-4
"""Relative. A Gram matrix shows singular values below 1e-8 of the largest as about 1e-8: of a
matrix of exactly rank one, 512 x 1024, the effective rank reads 1.000008."""
UNSCALED: Final = (2.0**-20, 2.0**20)
"""Largest magnitudes between which float32 squares and their sums neither overflow nor vanish;
others are brought near 1 first, by a power of two."""
LARGEST: Final = 2.0**1000
"""Of the largest singular value: edges and thresholds, a few times it, stay inside float64."""
LEADING_VECTORS: Final = 16
"""Singular vectors kept and compared at each end; an eighth of the shorter side at most."""

NOT_ASKED: Final = NoValue("the biwhitened spectrum was not asked for")


def matrix_of(shape: tuple[int, ...], values: Exact | None) -> NDArray[np.floating] | NoValue:
    """A tensor as the matrix whose spectrum is measured: float32, or float64 where it is that.

    Args:
        shape: of the whole tensor; convolutions are read as out x rest.
        values: all its elements in row-major order, any shape; None when they were not sent.
    """
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


def no_spectrum(reason: NoValue) -> dict[str, Value]:
    """Every statistic of ``Family.SPECTRUM`` without a value, for this reason."""
    return dict.fromkeys(names_of(Family.SPECTRUM), reason)


def measure_spectrum(
    matrix: NDArray[np.floating],
    *,
    with_vectors: bool = False,
    first_vectors: NDArray[np.float32] | None = None,
    biwhitened: bool = True,
    solver: Solver = reduce_symmetric,
) -> MatrixSpectrum | NoValue:
    """Singular values, noise bulks, outliers, ranks and power law of one matrix.

    Singular values are square roots of the eigenvalues of the Gram matrix of the shorter side,
    found in float64; the product itself is in float32 where that loses nothing.

    Args:
        matrix: float32 or float64 [rows, columns], both at least 2, finite.
        with_vectors: also measure the leading and the last singular vectors.
        first_vectors: float32 [p, r], ``top_vectors`` of the first snapshot.
        biwhitened: look at the biwhitened matrix too, which doubles the time.
        solver: finds the eigenvalues of the Gram matrices.

    Returns:
        The spectrum, in which statistics without value say why; or why there is none at all.
    """
    # Of extreme scales parts underflow on the way, as they should.
    with np.errstate(all="ignore"):
        peak = float(max(matrix.max(), -matrix.min()))
        if peak == 0.0:
            return ALL_ZERO
        exponent = 0 if UNSCALED[0] <= peak <= UNSCALED[1] else math.frexp(peak)[1]
        scaled = np.ldexp(matrix, -exponent) if exponent else matrix
        try:
            return _measured(
                scaled,
                exponent=exponent,
                peak=math.ldexp(peak, -exponent),
                with_vectors=with_vectors,
                first_vectors=first_vectors,
                biwhitened=biwhitened,
                solver=solver,
            )
        except np.linalg.LinAlgError:
            return NO_CONVERGENCE


def _measured(
    matrix: NDArray[np.floating],
    *,
    exponent: int,
    peak: float,
    with_vectors: bool,
    first_vectors: NDArray[np.float32] | None,
    biwhitened: bool,
    solver: Solver,
) -> MatrixSpectrum | NoValue:
    short, long = sorted(_support(matrix))
    kept = max(1, min(LEADING_VECTORS, short // 8)) if with_vectors else 0
    raw = look_at(matrix, short=short, long=long, ends=kept, solver=solver)
    singular = np.ldexp(raw.singular, exponent)
    if not singular[0] < LARGEST:
        return TOO_LARGE
    white = (
        _biwhitened(matrix, raw, short, long, peak=peak, solver=solver) if biwhitened else NOT_ASKED
    )
    bulk = _in_unit(raw.bulk, exponent)
    power_law = _power_law(raw.singular, exponent)
    return MatrixSpectrum(
        rows=matrix.shape[0],
        columns=matrix.shape[1],
        singular_values=singular,
        raw=bulk,
        biwhitened=white if isinstance(white, NoValue) else white.bulk,
        raw_outliers=tuple(
            replace(outlier, value=math.ldexp(outlier.value, exponent)) for outlier in raw.outliers
        ),
        outliers=() if isinstance(white, NoValue) else white.outliers,
        power_law=power_law,
        top_vectors=raw.leading.astype(np.float32) if with_vectors else None,
        statistics=no_spectrum(NOT_ASKED)
        | {"spectral_norm": float(singular[0])}
        | rank_statistics(raw.singular, energy=raw.energy)
        | raw_bulk_statistics(bulk, float(singular[0]), raw.largest)
        | biwhitened_statistics(white)
        | power_law_statistics(power_law)
        | vector_statistics(raw, first_vectors, asked=with_vectors),
    )


def _support(matrix: NDArray[np.floating]) -> tuple[int, int]:
    """How many rows and columns are not all zero: the others have nothing of a law's noise."""
    if bool(matrix.all()):
        return matrix.shape[0], matrix.shape[1]
    live = matrix != 0
    return int(live.any(axis=1).sum()), int(live.any(axis=0).sum())


def _biwhitened(
    matrix: NDArray[np.floating],
    raw: Pass,
    short: int,
    long: int,
    *,
    peak: float,
    solver: Solver,
) -> Pass | NoValue:
    if short < MINIMUM_SIDE:
        return TOO_SMALL
    scales = biwhitening_scales(matrix, squares=raw.squares, peak=peak)
    return look_at(matrix, short=short, long=long, scales=shrunk(scales), solver=solver)


def _in_unit(bulk: BulkFit | NoValue, exponent: int) -> BulkFit | NoValue:
    """The fit of a matrix that was scaled by a power of two, in the weights' own unit."""
    if isinstance(bulk, NoValue) or exponent == 0:
        return bulk
    lower = bulk.lower_threshold
    return replace(
        bulk,
        sigma=math.ldexp(bulk.sigma, exponent),
        lower_edge=math.ldexp(bulk.lower_edge, exponent),
        upper_edge=math.ldexp(bulk.upper_edge, exponent),
        lower_threshold=None if lower is None else math.ldexp(lower, exponent),
        upper_threshold=math.ldexp(bulk.upper_threshold, exponent),
    )


def _power_law(singular: NDArray[np.float64], exponent: int) -> PowerLaw | NoValue:
    positive = singular[singular > ZERO_SINGULAR_VALUE * singular[0]]
    found = fit_power_law(np.square(positive[::-1]))
    if isinstance(found, NoValue):
        return found
    x_min = float(np.ldexp(found.x_min, 2 * exponent))
    return replace(found, x_min=x_min) if 0 < x_min < math.inf else TOO_LARGE
