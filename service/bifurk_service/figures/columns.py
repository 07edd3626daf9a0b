"""Courses of many tensors as a picture's columns: fewer than there are steps, no extreme lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.figures.step_axis import StepScale, place
from bifurk_service.stats.spans import Spans

MOST_COLUMNS_A_SPAN: Final = 2
"""A stretch that is read as one value is drawn no wider than this."""


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


def columns_of(spans: Spans, *, columns: int, scale: StepScale) -> Columns:
    """Draws courses into columns.

    A column shows, of the spans that begin in it, each course's value that lies farthest from that
    course's median, so that no spike is lost; a column without one shows the last before it.

    Args:
        spans: of T courses, at least one.
        columns: at most so many; no more than the closest two steps need.
    """
    places = place(spans.first, scale)
    left, right = float(places[0]), float(place(spans.last[-1:], scale)[0])
    if right == left:
        only = spans.high[:, -1:]
        return Columns(left=left - 0.5, right=right + 0.5, values=only, steps=spans.last[-1:])
    spacing = float(np.diff(places).min()) if len(places) > 1 else right - left
    count = int(min(columns, np.ceil((right - left) / spacing) + 1))
    # The first snapshot stands in the middle of the first column, the last in that of the last.
    width = (right - left) / max(count - 1, 1)
    column = np.minimum(np.floor((places - left) / width + 0.5).astype(np.int64), count - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    extremes = _extremes(spans, starts)
    filled = np.searchsorted(column[starts], np.arange(count), side="right") - 1
    last_steps = spans.last[np.append(starts[1:], len(places)) - 1]
    return Columns(
        left=left - width / 2,
        right=right + width / 2,
        values=extremes[:, filled],
        steps=last_steps[filled],
    )


def narrow_enough(
    last: int, *, columns: int, scale: StepScale, first: int = 0
) -> Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]:
    """Which stretches, from steps [M] to steps [M], one value may stand for in a picture.

    Args:
        first, last: steps that the picture begins and ends with. columns: it has at most.
    """
    width = float(place(last, scale) - place(first, scale)) / columns

    def narrow(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        extent = place(ends, scale) - place(starts, scale)
        found: NDArray[np.bool_] = extent <= MOST_COLUMNS_A_SPAN * width
        return found

    return narrow


def extremes_of(spans: Spans) -> NDArray[np.float64]:
    """Of every span the value farthest from its course's median, [T, M]; of one step its own."""
    if spans.low is spans.high:
        return spans.low
    return _extremes(spans, np.arange(len(spans.first)))


def _extremes(spans: Spans, starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of every stretch the value farthest from its course's median, [T, len(starts)]."""
    values = spans.middles()
    known = np.isfinite(values)
    middle = np.zeros(len(values))
    some = known.any(axis=1)
    middle[some] = np.nanmedian(np.where(known, values, np.nan)[some], axis=1)
    low = np.minimum.reduceat(np.where(known, spans.low, np.inf), starts, axis=1)
    high = np.maximum.reduceat(np.where(known, spans.high, -np.inf), starts, axis=1)
    farther = high - middle[:, None] >= middle[:, None] - low
    found: NDArray[np.float64] = np.where(farther, high, low)
    return np.where(np.isfinite(found), found, np.nan)
