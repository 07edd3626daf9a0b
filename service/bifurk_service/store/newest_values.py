"""A statistic's newest values at or before a step of a run's course, over what is condensed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from bifurk_service.store.common_steps import statistics_at_steps
from bifurk_service.store.condensed_rows import LEVELS
from bifurk_service.store.courses import read_stretch
from bifurk_service.store.step_bins import CLOSER, HOLE, step_bins, tensor_places
from bifurk_service.store.timeline import Stretch, timeline


def newest_values(
    session: Session, run_id: int, statistic: str, tensor_ids: Sequence[int], step: int
) -> NDArray[np.float64]:
    """Of each tensor the last value at or before a step, float64 [T]; NaN where there is none.

    Where a run is thinned, also of the extremes that are kept.
    """
    reader = _Reader(session, run_id, statistic, tensor_ids)
    reader.look_at(step)
    reader.look(LEVELS[-1], 0, step - 1)
    return reader.found


class _Reader:
    """Looks backwards, at a time for those tensors of which no value is found yet."""

    def __init__(
        self, session: Session, run_id: int, statistic: str, tensor_ids: Sequence[int]
    ) -> None:
        self.found = np.full(len(tensor_ids), np.nan)
        self._session = session
        self._statistic = statistic
        self._tensor_ids = tensor_ids
        self._places = tensor_places(session, run_id, tensor_ids)
        self._course = timeline(session, run_id)

    def look_at(self, step: int) -> None:
        values = statistics_at_steps(
            self._session, self._course, (self._statistic,), self._tensor_ids, np.array([step])
        )
        self.found[:] = values[:, 0, 0]

    def look(self, level: int, first: int, last: int, which: Sequence[int] | None = None) -> None:
        which = self._open(range(len(self.found)) if which is None else which)
        if not which or first > last:
            return
        if not level:
            for stretch in self._course[::-1]:
                self._look_singly(stretch, first, last, self._open(which))
            return
        bins = step_bins(
            self._session,
            self._course,
            self._statistic,
            self._places[which],
            level=level,
            first_step=first,
            last_step=last,
        )
        has_values, end = ~np.isnan(bins.values[0]), last
        for place in range(len(bins.starts) - 1, -1, -1):
            start, stop = int(bins.starts[place]), int(bins.stops[place])
            self.look(HOLE[level], stop + 1, end, which)
            chosen = [which[row] for row in np.flatnonzero(has_values[:, place])]
            self.look(CLOSER[level], start, stop, chosen)
            end = start - 1
        self.look(HOLE[level], first, end, which)

    def _look_singly(self, stretch: Stretch, first: int, last: int, which: Sequence[int]) -> None:
        first, last = max(first, stretch.first), stretch.last_step(last)
        if not which or first > last:
            return
        read = read_stretch(
            self._session,
            self._statistic,
            [self._tensor_ids[one] for one in which],
            stretch,
            first_step=first,
            last_step=last,
        )
        for row, tensor in enumerate(which):
            known = np.flatnonzero(np.isfinite(read.values[row]))
            if known.size:
                self.found[tensor] = read.values[row, known[-1]]

    def _open(self, which: Sequence[int]) -> list[int]:
        return [tensor for tensor in which if np.isnan(self.found[tensor])]
