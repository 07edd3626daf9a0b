"""Series of tensors in fewer points, their extremes kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.courses import Courses
from bifurk_service.store.imports import imported_series
from bifurk_service.store.models import Tensor
from bifurk_service.store.near import Steps
from bifurk_service.store.outline_pieces import Window, window_of
from bifurk_service.store.outlines import Source, at_once, by_step, is_long, outlined
from bifurk_service.store.series import StatisticSeries, statistic_series
from bifurk_service.store.stored_statistics import stored_statistic
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for: a statistic of tensors between two steps, both included.

    Attributes:
        statistic: of the table, or one that the run has brought.
    """

    run_id: int
    statistic: str
    tensor_ids: Sequence[int]
    points: int
    first_step: int | None = None
    last_step: int | None = None
    attempt: str | None = None


def outlined_series(session: Session, asked: Asked) -> Iterator[StatisticSeries]:
    """Series of at most so many points where they are long, all values where they are not.

    Of every stretch that a long one is cut into, the smallest and the largest value stay, and the
    first and the last of all. Where an attempt is thinned, its kept extremes are among them.
    """
    windows = _windows(session, asked)
    if not is_long(session, windows, points=asked.points):
        return _whole(session, asked)
    return _outlined(session, asked, windows)


def are_long(session: Session, asked: Asked) -> bool:
    """Whether there are so many snapshots that of series only extremes and ends are given."""
    return is_long(session, _windows(session, asked), points=asked.points)


def series_near(session: Session, asked: Asked, near: Steps) -> Iterator[StatisticSeries] | None:
    """The same with every value between two steps; None where the series are not long.

    Args:
        near: both included; all of it is read, and beside it as many points as are asked for.
    """
    windows = _windows(session, asked)
    if not is_long(session, windows, points=asked.points):
        return None
    first, last = near
    close = _whole(session, replace(asked, first_step=first, last_step=last))
    return (
        joined_series(*pair) for pair in zip(_outlined(session, asked, windows), close, strict=True)
    )


def joined_series(far: StatisticSeries, close: StatisticSeries) -> StatisticSeries:
    """One series of what two tell of the same tensor."""
    steps, values = by_step(np.append(far.steps, close.steps), np.append(far.values, close.values))
    return replace(far, steps=steps, values=values)


def _windows(session: Session, asked: Asked) -> list[Window]:
    return [
        window
        for stretch in timeline(session, asked.run_id, asked.attempt)
        if (window := window_of(session, stretch, asked.first_step, asked.last_step)) is not None
    ]


def _outlined(
    session: Session, asked: Asked, windows: Sequence[Window]
) -> Iterator[StatisticSeries]:
    every = select(Tensor.id).where(Tensor.run_id == asked.run_id).order_by(Tensor.id)
    places = np.searchsorted(np.array(session.scalars(every).all()), asked.tensor_ids)
    size = at_once(windows, points=asked.points)
    stored = stored_statistic(session, asked.run_id, asked.statistic)
    for first in range(0, len(asked.tensor_ids), size):
        ids = asked.tensor_ids[first : first + size]

        def singles(
            stretch: Stretch, first_step: int, last_step: int, ids: Sequence[int] = ids
        ) -> Courses:
            return stored.between(session, ids, stretch, first_step, last_step)

        source = Source(name=stored.row, places=places[first : first + size], singles=singles)
        found = outlined(session, windows, source, points=asked.points)
        for tensor_id, (steps, values) in zip(ids, found, strict=True):
            ends = [end for one in windows for end in stored.ends(session, tensor_id, one)]
            ends = [min(ends), max(ends)] if ends else []
            points = by_step(
                np.append(steps, np.array([step for step, _ in ends], dtype=np.int64)),
                np.append(values, [value for _, value in ends]),
            )
            yield StatisticSeries(
                tensor_id=tensor_id, steps=points[0], values=points[1], is_outlined=True
            )


def _whole(session: Session, asked: Asked) -> Iterator[StatisticSeries]:
    if asked.statistic not in BY_NAME:
        return imported_series(
            session,
            asked.run_id,
            asked.statistic,
            asked.tensor_ids,
            first_step=asked.first_step,
            last_step=asked.last_step,
        )
    return statistic_series(
        session,
        asked.run_id,
        asked.statistic,
        asked.tensor_ids,
        first_step=asked.first_step,
        last_step=asked.last_step,
        attempt=asked.attempt,
    )
