"""Courses of long runs, read from what is condensed where that is narrow enough to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.stats.spans import Spans, joined, single_steps
from bifurk_service.store.condensed_bins import Range, bins_in, runs_of, without
from bifurk_service.store.condensed_courses import STEPS
from bifurk_service.store.condensed_rows import BINS, LEVELS, span
from bifurk_service.store.models import Tensor
from bifurk_service.store.outline_pieces import Window, steps_between, window_of
from bifurk_service.store.stored_statistics import StoredStatistic, stored_statistic
from bifurk_service.store.timeline import timeline

Narrow: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Says of stretches from first to last steps, int64 [M] each, which may be drawn as one value."""

SINGLE: Final = BINS * span(1)
"""Snapshots of an attempt that are always read one by one: changes are told from the first."""


def read_spans(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    narrow: Narrow,
    attempt: str | None = None,
) -> Spans:
    """A statistic, the table's or the run's own, along its timeline or of an attempt, T tensors.

    Stretches are as long as they may be, and single snapshots where nothing is condensed.
    """
    every = select(Tensor.id).where(Tensor.run_id == run_id).order_by(Tensor.id)
    places = np.searchsorted(session.scalars(every).all(), tensor_ids)
    stored = stored_statistic(session, run_id, statistic)
    reader = _Reader(session, stored, tensor_ids, places)
    windows = [window_of(session, one) for one in timeline(session, run_id, attempt)]
    parts = [part for one in windows if one is not None for part in reader.spans(one, narrow)]
    return joined(parts, courses=len(tensor_ids))


class _Reader:
    """Every snapshot of a window is read once, as a part of a bin or by itself.

    Args:
        places: of the tensors among the run's, by id.
    """

    def __init__(
        self,
        session: Session,
        statistic: StoredStatistic,
        tensor_ids: Sequence[int],
        places: NDArray[np.intp],
    ) -> None:
        self._session = session
        self._statistic = statistic
        self._tensor_ids = tensor_ids
        self._places = places

    def spans(self, window: Window, narrow: Narrow) -> list[Spans]:
        """From the longest bins to the shortest, then what is left one by one."""
        left = [(max(window.first, SINGLE), window.last)] if window.last >= SINGLE else []
        found = []
        for level in reversed(LEVELS):
            part, taken = self._of_level(window, level, left, narrow)
            found.append(part)
            left = without(left, taken, span(level))
        if window.first < SINGLE:
            left.append((window.first, min(window.last, SINGLE - 1)))
        singles = [self._singles(window, *one) for one in left]
        return found + [part for part in singles if part is not None]

    def _of_level(
        self, window: Window, level: int, left: Sequence[Range], narrow: Narrow
    ) -> tuple[Spans, NDArray[np.int64]]:
        """The bins of a level that are narrow enough, and where they begin."""
        attempt_id = window.stretch.attempt_id
        told = bins_in(self._session, attempt_id, level, STEPS, np.array([0]), left)
        known = ~np.isnan(told.values[0, 0])
        begins, (first, last) = told.begins[known], told.values[:, 0, known].astype(np.int64)
        chosen = narrow(first, last)
        ranges = runs_of(begins[chosen], span(level))
        bins = bins_in(self._session, attempt_id, level, self._statistic.row, self._places, ranges)
        chosen &= np.isin(begins, bins.begins)
        low, high = bins.values[..., np.searchsorted(bins.begins, begins[chosen])]
        return Spans(first=first[chosen], last=last[chosen], low=low, high=high), begins[chosen]

    def _singles(self, window: Window, first: int, last: int) -> Spans | None:
        steps = steps_between(self._session, window.stretch.attempt_id, first, last)
        if steps is None:
            return None
        courses = self._statistic.between(self._session, self._tensor_ids, window.stretch, *steps)
        return single_steps(courses.steps, courses.values)
