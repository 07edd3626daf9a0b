"""Where two runs part: from which common step on a tensor's statistics stay apart. Ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.registry import BY_NAME

LEVELS: Final[dict[str, float]] = {
    "nonfinite_count": 0.5,
    "std": math.log(1.25),
    "rms": math.log(1.25),
    "update_ratio": math.log(2.0),
    "stable_rank": math.log(3.0),
    "excess_kurtosis": 1.0,
}
"""By statistic the difference of a matrix that is more than usual: |ln(a/b)| of those on a
logarithmic scale, |a - b| of the others. Usual is what two seeds of one recipe show: see
`benchmarks/parting.py`. Gains and biases start equal and differ between seeds by any factor."""
MATRIX_DIMENSIONS: Final = 2
"""Tensors of at least so many are judged by these levels."""
HOLD: Final = 3
"""Common steps that a difference has to last, up to the end; all of them where there are fewer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """The statistics of ``LEVELS`` of one tensor: ascending steps [N], values [N, K] or NaN."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A statistic of a tensor that stays apart: since which step, and the values at that step.

    ``exact`` is false where it may have parted earlier, and no earlier step was looked at.
    """

    statistic: str
    step: int
    this: float
    other: float
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCourse:
    """How the courses of one tensor in two runs compare.

    Attributes:
        common: how many steps both have. first, last: of these, or None.
        first_difference: the first common step at which any compared number differs at all.
        parted: the statistics that stay apart, the earliest first.
    """

    common: int
    first: int | None
    last: int | None
    first_difference: int | None
    parted: tuple[Parted, ...]


def compare_courses(this: Course, other: Course) -> TensorCourse:
    """Compares one tensor's statistics in two runs over the steps that both have.

    A statistic has parted at the first step from which on its difference, as a running median of
    three (so that one bad snapshot on either side is passed over), is above its level at every
    later common step, for at least ``HOLD`` of them. Steps at which either has no value are
    passed over.
    """
    common, here, there = np.intersect1d(
        this.steps, other.steps, assume_unique=True, return_indices=True
    )
    mine, theirs = this.values[here], other.values[there]
    known = np.isfinite(mine) & np.isfinite(theirs)
    differing = np.flatnonzero((known & (mine != theirs)).any(axis=1))
    parted = [
        found
        for column, name in enumerate(LEVELS)
        if (found := _parted(name, common, mine[:, column], theirs[:, column])) is not None
    ]
    return TensorCourse(
        common=common.size,
        first=int(common[0]) if common.size else None,
        last=int(common[-1]) if common.size else None,
        first_difference=int(common[differing[0]]) if differing.size else None,
        parted=tuple(sorted(parted, key=lambda one: (one.step, -excess(one)))),
    )


def difference(
    statistic: str, this: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far values are apart, in the sense of ``LEVELS``, same shape; 0 where equal.

    Of a statistic on a logarithmic scale, infinite where one of the two is 0.
    """
    if not BY_NAME[statistic].log_scale:
        return np.abs(this - other)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(this) - np.log(other))
    return np.where(this == other, 0.0, apart)


def excess(parted: Parted) -> float:
    """The difference at the parting over its level."""
    apart = difference(parted.statistic, np.array([parted.this]), np.array([parted.other]))
    return float(apart[0]) / LEVELS[parted.statistic]


def _parted(
    name: str, steps: NDArray[np.int64], this: NDArray[np.float64], other: NDArray[np.float64]
) -> Parted | None:
    known = np.flatnonzero(np.isfinite(this) & np.isfinite(other))
    if not known.size:
        return None
    apart = _median_of_three(difference(name, this[known], other[known])) > LEVELS[name]
    within = np.flatnonzero(~apart)
    onset = int(within[-1]) + 1 if within.size else 0
    if apart.size - onset < min(HOLD, apart.size):
        return None
    at = known[onset]
    return Parted(statistic=name, step=int(steps[at]), this=float(this[at]), other=float(other[at]))


def _median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running median; the ends stay."""
    if values.size < 3:
        return values
    windows: Sequence[NDArray[np.float64]] = (values[:-2], values[1:-1], values[2:])
    inner = np.median(np.stack(windows), axis=0)
    return np.concatenate((values[:1], inner, values[-1:]))
