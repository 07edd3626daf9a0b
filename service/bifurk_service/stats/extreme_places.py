"""The extremes of groups of values, and where they stand: what thinning must not lose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def extremes_in_cells(
    cells: NDArray[np.int64],
    values: NDArray[np.float64],
    places: NDArray[np.int64],
    *,
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The least and the greatest value of every cell, and their places.

    Of equal values the one with the lowest place counts, so that what was found once is found
    again among itself and others that are no more extreme.

    Args:
        cells: of N rows, int64 [N], each in [0, count). values: float64 [N, S], NaN without one.
        places: int64 [N, S]. count: number of cells, C.

    Returns:
        Values float64 [C, 2, S], NaN without one, and their places int64 [C, 2, S], 0 without one.
    """
    found = np.full((count, 2, values.shape[1]), np.nan)
    where = np.zeros((count, 2, values.shape[1]), dtype=np.int64)
    if not len(cells):
        return found, where
    order = np.argsort(cells, kind="stable")
    cells, values, places = cells[order], values[order], places[order]
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    lengths = np.diff(starts, append=len(cells))
    for side, reduce in enumerate((np.fmin.reduceat, np.fmax.reduceat)):
        extreme = reduce(values, starts, axis=0)
        is_it = values == np.repeat(extreme, lengths, axis=0)
        beyond = np.iinfo(np.int64).max
        first = np.minimum.reduceat(np.where(is_it, places, beyond), starts, axis=0)
        found[cells[starts], side] = extreme
        where[cells[starts], side] = np.where(first == beyond, 0, first)
    return found, where


def extremes_along(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The least and the greatest along the first axis, and where they stand first.

    Args:
        values: float64 [N, ...], NaN without one.

    Returns:
        Float64 [2, ...], NaN without one, and places int64 [2, ...], 0 without one.
    """
    found = np.stack([np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)])
    return found, np.stack([np.argmax(values == one, axis=0) for one in found])


def joined_extremes(
    values: NDArray[np.float64], places: NDArray[np.int64], length: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of extremes of consecutive stretches, those of every ``length`` together, and their places.

    Args:
        values: float64 [n * length, 2, ...], NaN without one. places: int64, of the same shape.

    Returns:
        Float64 and int64 [n, 2, ...]; of equal values the first counts.
    """
    shape = (-1, length, *values.shape[1:])
    stretches, at = values.reshape(shape), places.reshape(shape)
    found, where = [], []
    for side, reduce in enumerate((np.fmin.reduce, np.fmax.reduce)):
        of_side = stretches[:, :, side]
        extreme = reduce(of_side, axis=1)
        first = np.argmax(of_side == extreme[:, None], axis=1)
        found.append(extreme)
        where.append(np.take_along_axis(at[:, :, side], first[:, None], axis=1)[:, 0])
    return np.stack(found, axis=1), np.stack(where, axis=1)
