"""Series of tensors in fewer points, their extremes kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.courses import Courses, read_stretch
from bifurk_service.store.models import Tensor
from bifurk_service.store.outline_pieces import Window, window_of
from bifurk_service.store.outlines import Source, at_once, by_step, is_long, outlined
from bifurk_service.store.series import StatisticSeries, ends_of, statistic_series
from bifurk_service.store.timeline import Stretch, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for: a statistic of tensors between two steps, both included."""

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
    windows = [
        window
        for stretch in timeline(session, asked.run_id, asked.attempt)
        if (window := window_of(session, stretch, asked.first_step, asked.last_step)) is not None
    ]
    if not is_long(session, windows, points=asked.points):
        yield from statistic_series(
            session,
            asked.run_id,
            asked.statistic,
            asked.tensor_ids,
            first_step=asked.first_step,
            last_step=asked.last_step,
            attempt=asked.attempt,
        )
        return
    every = select(Tensor.id).where(Tensor.run_id == asked.run_id).order_by(Tensor.id)
    places = np.searchsorted(np.array(session.scalars(every).all()), asked.tensor_ids)
    size = at_once(windows, points=asked.points)
    for first in range(0, len(asked.tensor_ids), size):
        ids = asked.tensor_ids[first : first + size]

        def singles(
            stretch: Stretch, first_step: int, last_step: int, ids: Sequence[int] = ids
        ) -> Courses:
            return read_stretch(
                session,
                asked.statistic,
                ids,
                stretch,
                first_step=first_step,
                last_step=last_step,
            )

        source = Source(name=asked.statistic, places=places[first : first + size], singles=singles)
        found = outlined(session, windows, source, points=asked.points)
        for tensor_id, (steps, values) in zip(ids, found, strict=True):
            ends = _ends(session, asked.statistic, tensor_id, windows)
            points = by_step(
                np.append(steps, np.array([step for step, _ in ends], dtype=np.int64)),
                np.append(values, [value for _, value in ends]),
            )
            yield StatisticSeries(tensor_id=tensor_id, steps=points[0], values=points[1])


def _ends(
    session: Session, statistic: str, tensor_id: int, windows: Sequence[Window]
) -> list[tuple[int, float]]:
    """Step and value of a tensor's first and last row in any window."""
    found = [
        end
        for one in windows
        for end in ends_of(
            session, statistic, tensor_id, one.stretch, one.first_step, one.last_step
        )
    ]
    return [min(found)[:2], max(found)[:2]] if found else []
