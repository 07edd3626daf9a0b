"""How far courses have gone since they began, as heatmaps colour it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spans import Spans


def change_since_first(spans: Spans, *, log_scale: bool) -> Spans:
    """Of T courses, the change since each one's first value that is known.

    Doublings where a statistic is multiplicative (1 is twice as much, -1 half); the difference in
    units of the course's own spread where it is not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        courses = _mapped(spans, _doublings) if log_scale else spans
        first = _first_known(courses.low)
        change = _mapped(courses, lambda values: _known(values - first))
        if log_scale:
            return change
        spread = _spread(change.middles())
        return _mapped(change, lambda values: values / spread)


def _mapped(spans: Spans, rising: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Spans:
    """Extremes of a rising function are the function of the extremes."""
    low = rising(spans.low)
    return replace(spans, low=low, high=low if spans.low is spans.high else rising(spans.high))


def _doublings(values: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithms: NDArray[np.float64] = np.log2(np.where(values > 0, values, np.nan))
    return logarithms


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _first_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each course, [T, 1]; NaN where nothing is known."""
    if not values.size:
        return np.full((len(values), 1), np.nan)
    at = np.argmax(np.isfinite(values), axis=1)
    first: NDArray[np.float64] = np.take_along_axis(values, at[:, None], axis=1)
    return first


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of each course, [T, 1]; 1 where there is none."""
    known = [row[np.isfinite(row)] for row in values]
    spread = np.array([np.std(row) if row.size else 0.0 for row in known])
    return np.where(spread > 0, spread, 1.0)[:, None]
