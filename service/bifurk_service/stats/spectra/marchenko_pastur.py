"""The Marchenko-Pastur law of the singular values of pure noise: edges, density, distribution.

Throughout, a matrix of p x n independent entries with mean 0 and standard deviation sigma,
p <= n; v is a singular value in the entries' unit, s = sigma sqrt(n).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

TABLE_POINTS: Final = 4_097
"""Nodes of the quantile table, dense at the edges; quantiles between .1 and .9 come out within
2e-7 of s."""


def edges(short: int, long: int) -> tuple[float, float]:
    """Lowest and highest singular value of a large noise matrix with sigma = 1.

    sqrt(n) (1 -+ sqrt(p/n)); Marchenko and Pastur 1967.
    """
    a, b = math.sqrt(long), math.sqrt(short)
    return a - b, a + b


def density(
    values: NDArray[np.float64], *, sigma: float, rows: int, columns: int
) -> NDArray[np.float64]:
    """Density of the singular values, float64 of the shape of ``values``; per the values' unit.

    P(v) = (n/p) / (pi s^2 v) sqrt((v_max^2 - v^2)(v^2 - v_min^2)) between the edges
    v_max, v_min = s (1 +- sqrt(p/n)), zero elsewhere; Staats, Thamm and Rosenow 2024
    (arXiv 2410.17770).

    Args:
        values: singular values, any shape. sigma: entry standard deviation, positive.
        rows, columns: of the matrix, in either order.
    """
    short, long = sorted((rows, columns))
    low, high = (sigma * edge for edge in edges(short, long))
    squared = np.square(np.asarray(values, dtype=np.float64))
    under = (high**2 - squared) * (squared - low**2)
    # At v = 0 (a square matrix) the density is finite: v cancels.
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.sqrt(np.maximum(under, 0.0)) / np.sqrt(squared)
        inside = np.where(squared > 0, inside, high if low == 0 else 0.0)
    return np.where(under >= 0, inside / (math.pi * sigma**2 * short), 0.0)


def distribution(values: NDArray[np.float64], short: int, long: int) -> NDArray[np.float64]:
    """Share of singular values up to ``values``, in [0, 1], for sigma = 1.

    The integral of ``density`` in closed form: with x = v^2/n, b = p/n and R the product under
    the root, (sqrt(R) + (1 + b) A - (1 - b) B) / (2 pi b), where A and B are the two angles
    that run from 0 at the lower edge to pi at the upper one.
    """
    aspect = short / long
    low, high = (1 - math.sqrt(aspect)) ** 2, (1 + math.sqrt(aspect)) ** 2
    x = np.clip(np.square(values) / long, low, high)
    above, below = np.sqrt(x - low), np.sqrt(high - x)
    # By their tangents: their cosines lose half of the digits at the edges.
    total = above * below + (1 + aspect) * 2 * np.arctan2(above, below)
    if low > 0:
        turned = np.arctan2(math.sqrt(high) * above, math.sqrt(low) * below)
        total -= (1 - aspect) * 2 * turned
    return np.asarray(total / (2 * math.pi * aspect))


def quantiles(shares: NDArray[np.float64], short: int, long: int) -> NDArray[np.float64]:
    """Singular values below which these shares lie, for sigma = 1: ``distribution`` inverted."""
    nodes, cumulated = _table(short, long)
    return np.interp(shares, cumulated, nodes)


@lru_cache(maxsize=64)
def _table(short: int, long: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = edges(short, long)
    nodes = low + (high - low) * (1 - np.cos(np.linspace(0, math.pi, TABLE_POINTS))) / 2
    cumulated = distribution(nodes, short, long)
    nodes.setflags(write=False)
    cumulated.setflags(write=False)
    return nodes, cumulated
