"""What the demo draws, as arrays: densities over steps, and spreads against their own past.

Pure functions of arrays; no request, no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from bifurk_service.demo.api import Distribution, Series


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityCourse:
    """Densities of one tensor over time, each in units of its own standard deviation.

    Attributes:
        steps: int64 [K], ascending. edges: float64 [B + 1], in standard deviations.
        density: float64 [K, B], at least 0, per standard deviation.
    """

    steps: NDArray[np.int64]
    edges: NDArray[np.float64]
    density: NDArray[np.float64]

    def __post_init__(self) -> None:
        expected = (len(self.steps), len(self.edges) - 1)
        if self.density.shape != expected:
            raise ValueError(f"density must have the shape {expected}, got {self.density.shape}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadMap:
    """How far each tensor's standard deviation lies from its own median over the run.

    Attributes:
        tensors: T names. steps: int64 [K], ascending.
        log2_ratio: float64 [T, K], log2(std / median over steps of std); NaN without a value.
    """

    tensors: tuple[str, ...]
    steps: NDArray[np.int64]
    log2_ratio: NDArray[np.float64]

    def __post_init__(self) -> None:
        expected = (len(self.tensors), len(self.steps))
        if self.log2_ratio.shape != expected:
            raise ValueError(
                f"log2_ratio must have the shape {expected}, got {self.log2_ratio.shape}"
            )


def density_course(distributions: Sequence[Distribution]) -> DensityCourse:
    """Puts densities over the same edges beside each other.

    Args:
        distributions: at ascending steps, over edges in standard deviations.

    Raises:
        ValueError: none was given, or their edges differ.
    """
    if not distributions:
        raise ValueError("a density course needs at least one distribution, got none")
    edges = distributions[0].edges
    for distribution in distributions:
        if not np.array_equal(distribution.edges, edges):
            raise ValueError(f"the edges at step {distribution.step} differ from the first ones")
    return DensityCourse(
        steps=np.array([distribution.step for distribution in distributions], dtype=np.int64),
        edges=edges,
        density=np.stack([distribution.density for distribution in distributions]),
    )


def spread_map(series: Sequence[Series]) -> SpreadMap:
    """Compares each standard deviation with its own median, at the steps that all series have.

    The median needs no knowledge of when something happened. Values that are not positive
    have no logarithm and count as missing.

    Raises:
        ValueError: no series was given.
    """
    if not series:
        raise ValueError("a spread map needs at least one series, got none")
    steps = reduce(np.intersect1d, (one.steps for one in series))
    values = np.stack([one.values[np.isin(one.steps, steps)] for one in series])
    positive = np.isfinite(values) & (values > 0)
    logs = np.full(values.shape, np.nan)
    logs[positive] = np.log2(values[positive])
    return SpreadMap(
        tensors=tuple(one.tensor for one in series),
        steps=steps,
        log2_ratio=np.stack([_from_median(row) for row in logs]),
    )


def _from_median(row: NDArray[np.float64]) -> NDArray[np.float64]:
    present = row[np.isfinite(row)]
    return row - np.median(present) if present.size else row
