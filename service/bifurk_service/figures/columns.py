"""Courses of many tensors as a picture's columns: fewer than there are steps, no extreme lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.figures.step_axis import StepScale, place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """T courses in C columns of equal width on the step axis.

    Attributes:
        left, right: ends of the picture on the axis. values: [T, C], NaN where there is none.
        steps: [C], the last step that a column shows.
    """

    left: float
    right: float
    values: NDArray[np.float64]
    steps: NDArray[np.int64]


def columns_of(
    steps: NDArray[np.int64], values: NDArray[np.float64], *, columns: int, scale: StepScale
) -> Columns:
    """Draws courses into columns.

    A column shows, of the snapshots that fall into it, each course's value that lies farthest from
    that course's median, so that no spike is lost; a column without one shows the last before it.

    Args:
        steps: int64 [N], ascending, at least one. values: float64 [T, N].
        columns: at most so many; no more than the closest two steps need.
    """
    places = place(steps, scale)
    left, right = float(places[0]), float(places[-1])
    if right == left:
        return Columns(left=left - 0.5, right=right + 0.5, values=values[:, -1:], steps=steps[-1:])
    spacing = float(np.diff(places).min())
    count = int(min(columns, np.ceil((right - left) / spacing) + 1))
    # The first snapshot stands in the middle of the first column, the last in that of the last.
    width = (right - left) / max(count - 1, 1)
    column = np.minimum(np.floor((places - left) / width + 0.5).astype(np.int64), count - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    extremes = _extremes(values, starts)
    filled = np.searchsorted(column[starts], np.arange(count), side="right") - 1
    last_steps = steps[np.append(starts[1:], len(steps)) - 1]
    return Columns(
        left=left - width / 2,
        right=right + width / 2,
        values=extremes[:, filled],
        steps=last_steps[filled],
    )


def _extremes(values: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of every stretch the value farthest from its course's median, [T, len(starts)]."""
    known = np.isfinite(values)
    middle = np.zeros(len(values))
    some = known.any(axis=1)
    middle[some] = np.nanmedian(np.where(known, values, np.nan)[some], axis=1)
    low = np.minimum.reduceat(np.where(known, values, np.inf), starts, axis=1)
    high = np.maximum.reduceat(np.where(known, values, -np.inf), starts, axis=1)
    farther = high - middle[:, None] >= middle[:, None] - low
    found: NDArray[np.float64] = np.where(farther, high, low)
    return np.where(np.isfinite(found), found, np.nan)
