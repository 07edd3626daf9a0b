"""Many statistics of one tensor over a long run, from what is condensed where that will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.spans import Spans
from bifurk_service.store.condensed_bins import Range, bins_of_statistics
from bifurk_service.store.courses import Courses
from bifurk_service.store.models import Tensor
from bifurk_service.store.outline_pieces import window_of
from bifurk_service.store.outlines import WORTH_IT, is_long
from bifurk_service.store.series import statistic_rows
from bifurk_service.store.span_courses import Narrow, SpanBins, spans_along
from bifurk_service.store.step_bins import tensor_places
from bifurk_service.store.timeline import Stretch, timeline

MOST_SINGLE: Final = 5_000
"""Snapshots of a tensor that are read one by one: fewer take no longer than an outline."""
SINGLE_A_TENSOR: Final = 100
"""So many more for each of the run's tensors: a row of what is condensed holds all of them."""


def read_tensor_spans(
    session: Session, run_id: int, tensor_id: int, statistics: Sequence[str], *, narrow: Narrow
) -> Spans:
    """K statistics of the table along a run's timeline, as K courses.

    Where the run is thinned, with the extremes that were condensed before.
    """
    [place] = tensor_places(session, run_id, [tensor_id])
    source = _OfTensor(tensor_id=tensor_id, place=int(place), statistics=statistics)
    return spans_along(session, timeline(session, run_id), source, narrow=narrow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """About how many snapshots a run's course has; whether a tensor is to be outlined over it."""

    snapshots: int
    is_long: bool


def length_of(session: Session, run_id: int) -> Length:
    """Counts no further than it takes to tell."""
    windows = [
        window
        for stretch in timeline(session, run_id)
        if (window := window_of(session, stretch)) is not None
    ]
    tensors = session.scalar(select(func.count()).where(Tensor.run_id == run_id)) or 0
    most = MOST_SINGLE + SINGLE_A_TENSOR * tensors
    return Length(
        snapshots=sum(window.most for window in windows),
        is_long=is_long(session, windows, points=most // WORTH_IT),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfTensor:
    """Statistics of a tensor; ``place`` is its own among the run's, by id."""

    tensor_id: int
    place: int
    statistics: Sequence[str]

    @property
    def courses(self) -> int:
        return len(self.statistics)

    def bins(
        self, session: Session, attempt_id: int, level: int, ranges: Sequence[Range]
    ) -> SpanBins:
        return bins_of_statistics(session, attempt_id, level, self.statistics, self.place, ranges)

    def singles(
        self, session: Session, stretch: Stretch, first_step: int, last_step: int
    ) -> Courses:
        rows = statistic_rows(
            session, self.statistics, self.tensor_id, stretch, first_step, last_step
        )
        return Courses(steps=rows[:, 0].astype(np.int64), values=rows[:, 1:].T)
