"""Courses of long runs, read from what is condensed where that is narrow enough to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from bifurk_service.stats.spans import Spans, joined, single_steps
from bifurk_service.store.condensed_bins import Range, bins_in, runs_of, without
from bifurk_service.store.condensed_courses import STEPS
from bifurk_service.store.condensed_rows import BINS, LEVELS, span
from bifurk_service.store.courses import Courses
from bifurk_service.store.outline_pieces import Window, steps_between, window_of
from bifurk_service.store.step_bins import tensor_places
from bifurk_service.store.stored_statistics import StoredStatistic, stored_statistic
from bifurk_service.store.timeline import Stretch, timeline

Narrow: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Says of stretches from first to last steps, int64 [M] each, which may be drawn as one value."""
SpanBins: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The sequences that N bins begin with, ascending, and their extremes, [2, T, N], NaN without."""

SINGLE: Final = BINS * span(1)
"""Snapshots of an attempt that are always read one by one: changes are told from the first."""


class SpanSource(Protocol):
    """Where T courses are read from."""

    @property
    def courses(self) -> int:
        """How many there are."""
        ...

    def bins(
        self, session: Session, attempt_id: int, level: int, ranges: Sequence[Range]
    ) -> SpanBins:
        """The bins of a level that lie in one of some ranges with all they have."""
        ...

    def singles(
        self, session: Session, stretch: Stretch, first_step: int, last_step: int
    ) -> Courses:
        """Every value in a stretch between two steps, both included."""
        ...


def read_spans(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    narrow: Narrow,
    attempt: str | None = None,
) -> Spans:
    """A statistic, the table's or the run's own, along its timeline or of an attempt, T tensors."""
    source = _OfStatistic(
        stored=stored_statistic(session, run_id, statistic),
        tensor_ids=tensor_ids,
        places=tensor_places(session, run_id, tensor_ids),
    )
    return spans_along(session, timeline(session, run_id, attempt), source, narrow=narrow)


def spans_along(
    session: Session, course: Sequence[Stretch], source: SpanSource, *, narrow: Narrow
) -> Spans:
    """Stretches as long as they may be, and single snapshots where nothing is condensed.

    Args:
        course: of a timeline.
    """
    reader = _Reader(session, source)
    windows = [window_of(session, one) for one in course]
    parts = [part for one in windows if one is not None for part in reader.spans(one, narrow)]
    return joined(parts, courses=source.courses)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _OfStatistic:
    """One statistic of tensors; ``places`` are theirs among the run's, by id."""

    stored: StoredStatistic
    tensor_ids: Sequence[int]
    places: NDArray[np.intp]

    @property
    def courses(self) -> int:
        return len(self.tensor_ids)

    def bins(
        self, session: Session, attempt_id: int, level: int, ranges: Sequence[Range]
    ) -> SpanBins:
        found = bins_in(session, attempt_id, level, self.stored.row, self.places, ranges)
        return found.begins, found.values

    def singles(
        self, session: Session, stretch: Stretch, first_step: int, last_step: int
    ) -> Courses:
        return self.stored.between(session, self.tensor_ids, stretch, first_step, last_step)


class _Reader:
    """Every snapshot of a window is read once, as a part of a bin or by itself."""

    def __init__(self, session: Session, source: SpanSource) -> None:
        self._session = session
        self._source = source

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
        there, values = self._source.bins(self._session, attempt_id, level, ranges)
        chosen &= np.isin(begins, there)
        low, high = values[..., np.searchsorted(there, begins[chosen])]
        return Spans(first=first[chosen], last=last[chosen], low=low, high=high), begins[chosen]

    def _singles(self, window: Window, first: int, last: int) -> Spans | None:
        steps = steps_between(self._session, window.stretch.attempt_id, first, last)
        if steps is None:
            return None
        courses = self._source.singles(self._session, window.stretch, *steps)
        return single_steps(courses.steps, courses.values)
