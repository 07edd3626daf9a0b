"""Gram matrices of the shorter side, a part of the longer one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

CHUNK_ELEMENTS: Final = 1 << 20
"""Entries converted or scaled at a time: 4 MiB in float32, small beside any matrix that takes
long, and wide enough for the product to run at full speed."""


FLOAT32: Final[np.dtype[np.floating]] = np.dtype(np.float32)
FLOAT64: Final[np.dtype[np.floating]] = np.dtype(np.float64)


def long_chunks(matrix: NDArray[np.floating]) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Parts of the longer side: where they lie on it, and the entries as [part, shorter side].

    The entries are views; of a wide matrix they are transposed.
    """
    by_long = matrix if matrix.shape[0] > matrix.shape[1] else matrix.T
    step = max(1, CHUNK_ELEMENTS // by_long.shape[1])
    for begin in range(0, by_long.shape[0], step):
        part = slice(begin, min(begin + step, by_long.shape[0]))
        yield part, by_long[part]


def gram(
    matrix: NDArray[np.floating],
    dtype: np.dtype[np.floating],
    *,
    long_scale: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """W D^2 W^T of the p x n matrix W, p <= n: float64 [p, p], Fortran order, lower triangle.

    What is above the diagonal is undefined. A symmetric product takes half the operations of a
    general one.

    Args:
        matrix: [rows, columns] in either order; finite.
        dtype: float32 or float64, of the products and their sums.
        long_scale: float64 [n], the diagonal of D; ones where it is None.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    if long_scale is None and matrix.dtype == dtype and matrix.flags.c_contiguous:
        return np.asarray(_symmetric(matrix, tall=tall), dtype=np.float64, order="F")
    scale = None if long_scale is None else long_scale.astype(dtype)
    product: NDArray[np.floating] | None = None
    for part, entries in long_chunks(matrix):
        # Laid out as the matrix itself is, so that copying runs along memory.
        block = np.empty(entries.shape if tall else entries.shape[::-1], dtype=dtype)
        by_long = block if tall else block.T
        if scale is None:
            by_long[...] = entries
        else:
            np.multiply(entries, scale[part, None], out=by_long, casting="same_kind")
        product = _symmetric(block, tall=tall, onto=product)
    assert product is not None  # a matrix has at least one entry
    return np.asarray(product, dtype=np.float64, order="F")


def short_side_squares(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums of squares of the p vectors along the shorter side, summed in float64: float64 [p].

    The diagonal of the Gram matrix, of which a float32 product keeps only seven digits: with this
    one in its place eigenvalues come out two to four times nearer to the exact ones.
    """
    sums = np.zeros(min(matrix.shape))
    for _, entries in long_chunks(matrix):
        sums += np.square(entries).sum(axis=0, dtype=np.float64)
    return sums


def _symmetric(
    block: NDArray[np.floating], *, tall: bool, onto: NDArray[np.floating] | None = None
) -> NDArray[np.floating]:
    """Block times itself over its longer side, added to what is there."""
    multiply = blas.ssyrk if block.dtype == np.float32 else blas.dsyrk
    # BLAS reads the transposed view without copying.
    if onto is None:
        return multiply(1.0, block.T, trans=int(not tall), lower=1)  # type: ignore[no-any-return]
    return multiply(  # type: ignore[no-any-return]
        1.0, block.T, beta=1.0, c=onto, trans=int(not tall), lower=1, overwrite_c=1
    )
