"""What is condensed of a run's course, by steps: bins and the steps of which they tell all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_bins import bins_in
from bifurk_service.store.condensed_courses import STEPS
from bifurk_service.store.condensed_rows import span
from bifurk_service.store.models import Tensor
from bifurk_service.store.outline_pieces import Window, window_of
from bifurk_service.store.timeline import Stretch

HOLE: Final = {3: 2, 2: 1, 1: 0}
"""What is looked at where a level has no bins; 0 are single snapshots."""
CLOSER: Final = {3: 1, 2: 1, 1: 0}
"""What is looked at where bins of a level do not decide: eight rows hold 64 of the first level."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepBins:
    """N bins of one statistic of T tensors, by step.

    Attributes:
        starts, stops: int64 [N], both included, ascending and apart: whatever is measured of the
            course between them is in the bin. Where bins follow each other so do these.
        first, last: steps of the first and the last snapshot in it, int64 [N].
        values: the least and the greatest, float64 [2, T, N], NaN without one; beyond an end of
            the course, what was measured there counts as well.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    values: NDArray[np.float64]

    def over(self, start: int, stop: int) -> NDArray[np.float64] | None:
        """The extremes, [2, T], of bins that tell of everything between two steps, or of more.

        None where they do not.
        """
        begin = int(np.searchsorted(self.stops, start))
        end = int(np.searchsorted(self.starts, stop, side="right"))
        if begin >= end or self.starts[begin] > start or self.stops[end - 1] < stop:
            return None
        if (self.starts[begin + 1 : end] != self.stops[begin : end - 1] + 1).any():
            return None
        low, high = self.values[..., begin:end]
        return np.stack([np.fmin.reduce(low, axis=1), np.fmax.reduce(high, axis=1)])


def step_bins(
    session: Session,
    course: Sequence[Stretch],
    statistic: str,
    places: NDArray[np.intp],
    *,
    level: int,
    first_step: int,
    last_step: int,
) -> StepBins:
    """The bins of a level that tell of a course between two steps, both included.

    Args:
        course: of a timeline. places: of T tensors among the run's, by id.
    """
    parts = [
        _of_stretch(session, window, statistic, places, level, (first_step, last_step))
        for stretch in course
        if (window := window_of(session, stretch, first_step, last_step)) is not None
    ]
    none = np.zeros(0, dtype=np.int64)
    empty = np.zeros((2, len(places), 0))
    return StepBins(
        starts=np.concatenate([none, *(one.starts for one in parts)]),
        stops=np.concatenate([none, *(one.stops for one in parts)]),
        first=np.concatenate([none, *(one.first for one in parts)]),
        last=np.concatenate([none, *(one.last for one in parts)]),
        values=np.concatenate([empty, *(one.values for one in parts)], axis=2),
    )


def tensor_places(session: Session, run_id: int, tensor_ids: Sequence[int]) -> NDArray[np.intp]:
    """Where tensors of a run stand in its condensed rows, [T]."""
    every = select(Tensor.id).where(Tensor.run_id == run_id).order_by(Tensor.id)
    return np.searchsorted(np.array(session.scalars(every).all(), dtype=np.int64), tensor_ids)


def _of_stretch(
    session: Session,
    window: Window,
    statistic: str,
    places: NDArray[np.intp],
    level: int,
    asked: tuple[int, int],
) -> StepBins:
    length, stretch = span(level), window.stretch
    whole = window.first // length * length, window.last // length * length + length - 1
    told = bins_in(session, stretch.attempt_id, level, STEPS, np.array([0]), [whole])
    bins = bins_in(session, stretch.attempt_id, level, statistic, places, [whole])
    here = np.isin(bins.begins, told.begins)
    begins = bins.begins[here]
    first, last = told.values[:, 0, np.searchsorted(told.begins, begins)]
    known = ~np.isnan(first)
    # Where sequences have no gap between two bins, nothing is measured between them either.
    island = np.cumsum(np.append(0, np.diff(begins) != length))[: len(begins)][known]
    first, last = first[known].astype(np.int64), last[known].astype(np.int64)
    starts, stops = first.copy(), last.copy()
    follows = np.flatnonzero(np.diff(island) == 0)
    stops[follows] = starts[follows + 1] - 1
    low, high = _ends(stretch, asked)
    if len(starts) and begins[0] <= window.first and not island[0]:
        starts[0] = low
    if len(stops) and begins[-1] + length > window.last:
        stops[-1] = high
    return StepBins(
        starts=np.maximum(starts, low),
        stops=np.minimum(stops, high),
        first=first,
        last=last,
        values=bins.values[:, :, here][..., known],
    )


def _ends(stretch: Stretch, asked: tuple[int, int]) -> tuple[int, int]:
    return max(asked[0], stretch.first), stretch.last_step(asked[1])
