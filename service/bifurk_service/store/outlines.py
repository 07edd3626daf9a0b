"""Long series in fewer points, their extremes kept: read from what is condensed.

A series is cut into stretches of whole bins, of each of which the least and the greatest value
are given at their own steps. What is read grows with the points asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.thinning import first_lowest
from bifurk_service.store.condensed_rows import LEVELS, span
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.outline_pieces import Pieces, Window, pieces_of, steps_at, window_of
from bifurk_service.store.series import StatisticSeries, ends_of, statistic_series
from bifurk_service.store.timeline import timeline

WORTH_IT: Final = 4
"""So many snapshots a point are read one by one: fewer than the bins of as many points hold."""
NUMBERS_AT_ONCE: Final = 2_000_000
"""Extremes held at a time: a model of many tensors is read in parts."""


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
    most = WORTH_IT * asked.points
    if _measured(session, windows, most=most) <= most:
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
    stretches = (asked.points - 2) // 2
    level = _level(sum(window.most for window in windows) / stretches)
    every = select(Tensor.id).where(Tensor.run_id == asked.run_id).order_by(Tensor.id)
    places = np.searchsorted(np.array(session.scalars(every).all()), asked.tensor_ids)
    at_once = max(1, NUMBERS_AT_ONCE // sum(window.most // span(level) + 1 for window in windows))
    for first in range(0, len(asked.tensor_ids), at_once):
        ids = asked.tensor_ids[first : first + at_once]
        chosen = places[first : first + at_once]
        parts = [
            pieces_of(session, window, asked.statistic, ids, places=chosen, level=level)
            for window in windows
        ]
        yield from _outlined(session, windows, parts, ids, asked.statistic, stretches)


def _measured(session: Session, windows: Sequence[Window], *, most: int) -> int:
    """How many snapshots, counted no further than needed."""
    count = 0
    for window in windows:
        some = (
            select(Snapshot.id)
            .where(
                Snapshot.attempt_id == window.stretch.attempt_id,
                Snapshot.sequence.between(window.first, window.last),
                Snapshot.measured_at.is_not(None),
            )
            .limit(most + 1 - count)
        )
        count += session.scalar(select(func.count()).select_from(some.subquery())) or 0
        if count > most:
            break
    return count


def _level(snapshots: float) -> int:
    """The level of the longest bins that are no longer than a stretch of so many snapshots."""
    return max((level for level in LEVELS if span(level) <= snapshots), default=LEVELS[0])


def _outlined(
    session: Session,
    windows: Sequence[Window],
    parts: Sequence[Pieces],
    tensor_ids: Sequence[int],
    statistic: str,
    stretches: int,
) -> Iterator[StatisticSeries]:
    weights = np.concatenate([part.weights for part in parts])
    begins = np.cumsum(weights) - weights
    of_stretch = begins * stretches // max(1, int(weights.sum()))
    starts = np.flatnonzero(np.diff(of_stretch, prepend=-1))
    owners = np.repeat(np.arange(len(parts)), [len(part.weights) for part in parts])
    values = [np.concatenate([part.values[side] for part in parts], axis=-1) for side in (0, 1)]
    at = [np.concatenate([part.at[side] for part in parts], axis=-1) for side in (0, 1)]
    single = np.concatenate([part.is_single for part in parts])
    chosen = []
    for row in range(len(tensor_ids)):
        lowest, highest = (
            first_lowest(values[0][row], starts),
            first_lowest(-values[1][row], starts),
        )
        pieces = np.concatenate((lowest, highest))
        found = np.concatenate((values[0][row, lowest], values[1][row, highest]))
        chosen.append((pieces, found, np.concatenate((at[0][row, lowest], at[1][row, highest]))))
    steps = _steps(session, windows, chosen, owners, single)
    for tensor_id, (_, found, _), own in zip(tensor_ids, chosen, steps, strict=True):
        ends = [
            end
            for window in windows
            for end in ends_of(
                session, statistic, tensor_id, window.stretch, window.first_step, window.last_step
            )
        ]
        every = np.concatenate((own, np.array([step for step, _ in ends], dtype=np.int64)))
        known = np.concatenate((found, np.array([value for _, value in ends])))
        keep = _within_ends(every, len(own))
        unique, first = np.unique(every[keep], return_index=True)
        yield StatisticSeries(tensor_id=tensor_id, steps=unique, values=known[keep][first])


def _within_ends(steps: NDArray[np.int64], extremes: int) -> NDArray[np.bool_]:
    """All extremes, and of the attempts' own ends the first and the last of all."""
    keep = np.zeros(len(steps), dtype=np.bool_)
    keep[:extremes] = True
    if len(steps) > extremes:
        keep[extremes + np.argmin(steps[extremes:])] = True
        keep[extremes + np.argmax(steps[extremes:])] = True
    return keep


def _steps(
    session: Session,
    windows: Sequence[Window],
    chosen: Sequence[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]],
    owners: NDArray[np.intp],
    single: NDArray[np.bool_],
) -> list[NDArray[np.int64]]:
    """Steps of chosen pieces, a row a tensor: a single snapshot says its own, a bin does not."""
    found = [at.copy() for *_, at in chosen]
    for number, window in enumerate(windows):
        masks = [(owners[pieces] == number) & ~single[pieces] for pieces, *_ in chosen]
        asked = np.unique(np.concatenate([at[mask] for at, mask in zip(found, masks, strict=True)]))
        steps = steps_at(session, window.stretch.attempt_id, asked)
        for at, mask in zip(found, masks, strict=True):
            at[mask] = steps[np.searchsorted(asked, at[mask])]
    return found
