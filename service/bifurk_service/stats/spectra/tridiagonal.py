"""Eigenvalues of a symmetric matrix, and the few eigenvectors wanted, from one reduction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal, lapack

Floats = NDArray[np.float64]


class Eigensystem(Protocol):
    """What is asked of a symmetric matrix, whatever has found it."""

    @property
    def eigenvalues(self) -> Floats:
        """Float64 [p], descending."""
        ...

    def vectors(self, begin: int, end: int) -> Floats:
        """Unit eigenvectors of the eigenvalues begin to end - 1, float64 [p, end - begin]."""
        ...


Solver: TypeAlias = Callable[[Floats], Eigensystem]
"""Of a symmetric matrix, float64 [p, p], p >= 2, given by its lower triangle, which may be
overwritten; raises ``numpy.linalg.LinAlgError`` where it does not converge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduced:
    """A symmetric matrix reduced to tridiagonal form, with all its eigenvalues.

    Attributes:
        eigenvalues: float64 [p], descending.
        diagonal, off_diagonal: float64 [p] and [p - 1], of the tridiagonal matrix.
        reflectors, factors: what LAPACK keeps of the orthogonal transformation.
    """

    eigenvalues: Floats
    diagonal: Floats
    off_diagonal: Floats
    reflectors: Floats
    factors: Floats

    def vectors(self, begin: int, end: int) -> Floats:
        """Unit eigenvectors of the eigenvalues begin to end - 1, float64 [p, end - begin].

        Within a cluster of equal eigenvalues any orthonormal basis of their space.

        Raises:
            numpy.linalg.LinAlgError: they did not converge.
        """
        size = self.diagonal.size
        _, ascending = eigh_tridiagonal(
            self.diagonal,
            self.off_diagonal,
            select="i",
            select_range=(size - end, size - begin - 1),
            check_finite=False,
            lapack_driver="stemr",
        )
        vectors = np.asfortranarray(ascending[:, ::-1])
        if size > 1:
            vectors[1:] = self._transformed(vectors[1:])
        return vectors

    def _transformed(self, vectors: Floats) -> Floats:
        """Back to the matrix's own basis: the reflectors lie one row below those of a QR."""
        shifted = np.asfortranarray(self.reflectors[1:, :-1])
        # The size of the workspace: a block of 64 columns a vector.
        work = max(1, vectors.shape[1]) * 64
        transformed, _, info = lapack.dormqr("L", "N", shifted, self.factors, vectors, work)
        assert info == 0, info  # only ever a wrong argument
        return transformed  # type: ignore[no-any-return]


def reduce_symmetric(lower: Floats) -> Reduced:
    """Reduces a symmetric matrix, given by its lower triangle, and finds all its eigenvalues.

    LAPACK's dsytrd and dsterf: as eigvalsh does, but keeping the transformation, so that a few
    vectors cost next to nothing more.

    Args:
        lower: float64 [p, p], p >= 2, finite, Fortran order; overwritten.

    Raises:
        numpy.linalg.LinAlgError: the eigenvalues did not converge.
    """
    work, _ = lapack.dsytrd_lwork(lower.shape[0], lower=1)
    reflectors, diagonal, off_diagonal, factors, _ = lapack.dsytrd(
        lower, lower=1, lwork=int(work), overwrite_a=1
    )
    ascending, info = lapack.dsterf(diagonal, off_diagonal)
    if info > 0:
        raise np.linalg.LinAlgError(f"{info} eigenvalues did not converge")
    return Reduced(
        eigenvalues=ascending[::-1],
        diagonal=diagonal,
        off_diagonal=off_diagonal,
        reflectors=reflectors,
        factors=factors,
    )
