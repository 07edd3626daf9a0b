"""The density of a tensor's values over equal bins, for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk.wire import TensorPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """Densities over equal bins.

    Attributes:
        edges: float64 [B + 1], ascending. density: float64 [B]; its sum times the bin width is
            ``covered``, the share of the finite values between the edges.
        finite, nonfinite: how many values there are of each.
    """

    edges: NDArray[np.float64]
    density: NDArray[np.float64]
    covered: float
    finite: int
    nonfinite: int


def density(
    pieces: Sequence[TensorPart],
    *,
    bins: int,
    in_sigmas: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Density:
    """The density of one tensor's values, over all pieces of it that came.

    Args:
        pieces: the tensor as carried by each part. bins: at least 1.
        in_sigmas: values (and edges) divided by the population standard deviation; not centred.
        low, high: first and last edge; the extremes where None.
    """
    weighted = [_weighted(piece) for piece in pieces]
    values = np.concatenate([value for value, _, _ in weighted])
    counts = np.concatenate([count for _, count, _ in weighted])
    nonfinite = sum(bad for _, _, bad in weighted)
    finite = int(counts.sum())
    if in_sigmas and finite:
        values = values / (_deviation(values, counts) or 1.0)
    first = low if low is not None else (float(values.min()) if finite else 0.0)
    last = high if high is not None else (float(values.max()) if finite else 0.0)
    if not last > first:
        first, last = first - 0.5, first + 0.5
    heights, edges = np.histogram(values, bins=bins, range=(first, last), weights=counts)
    total = max(1, finite)
    return Density(
        edges=edges,
        density=heights / total / np.diff(edges),
        covered=float(heights.sum() / total),
        finite=finite,
        nonfinite=nonfinite,
    )


def _weighted(piece: TensorPart) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    if piece.counts is not None:
        return piece.counts.values(), piece.counts.counts, piece.counts.nonfinite_count
    assert piece.values is not None, "a piece carries counts or values"
    values = piece.values.float64().ravel()
    kept = values[np.isfinite(values)]
    return kept, np.ones(kept.size, dtype=np.int64), values.size - kept.size


def _deviation(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    mean = np.average(values, weights=counts)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
