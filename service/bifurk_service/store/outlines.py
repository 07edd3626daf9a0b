"""Long courses in fewer points, their extremes kept: read from what is condensed.

A course is cut into stretches of whole bins, of each of which the least and the greatest value
are given at their own steps. What is read grows with the points asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bifurk_service.stats.thinning import first_lowest
from bifurk_service.store.condensed_rows import LEVELS, span
from bifurk_service.store.kept_extremes import Points
from bifurk_service.store.models import Snapshot
from bifurk_service.store.outline_pieces import Singles, Window, pieces_of, steps_at

WORTH_IT: Final = 4
"""So many snapshots a point are read one by one: fewer than the bins of as many points hold."""
NUMBERS_AT_ONCE: Final = 2_000_000
"""Extremes held at a time: a model of many tensors is read in parts."""

Chosen: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""Of a course, pieces, their values, and where these stand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Courses that rows of what is condensed tell of.

    Attributes:
        name: of the rows. places: of T courses in them, [T].
        singles: reads the same courses value by value.
    """

    name: str
    places: NDArray[np.intp]
    singles: Singles


def is_long(
    session: Session, windows: Sequence[Window], *, points: int, measured: bool = True
) -> bool:
    """Whether it is worth it to outline so many snapshots; counted no further than needed."""
    most, count = WORTH_IT * points, 0
    for window in windows:
        some = select(Snapshot.id).where(
            Snapshot.attempt_id == window.stretch.attempt_id,
            Snapshot.sequence.between(window.first, window.last),
        )
        if measured:
            some = some.where(Snapshot.measured_at.is_not(None))
        few = some.limit(most + 1 - count).subquery()
        count += session.scalar(select(func.count()).select_from(few)) or 0
        if count > most:
            return True
    return False


def at_once(windows: Sequence[Window], *, points: int) -> int:
    """How many courses are to be outlined together."""
    level = _level(windows, points)
    return max(1, NUMBERS_AT_ONCE // sum(one.most // span(level) + 1 for one in windows))


def outlined(
    session: Session, windows: Sequence[Window], source: Source, *, points: int
) -> list[Points]:
    """Of each course the extremes of stretches, at most ``points`` - 2 of them, by step.

    Args:
        windows: one after the other, with so many snapshots that it is worth it: see ``is_long``.
    """
    level = _level(windows, points)
    parts = [
        pieces_of(
            session,
            window,
            source.name,
            places=source.places,
            level=level,
            singles=source.singles,
        )
        for window in windows
    ]
    weights = np.concatenate([part.weights for part in parts])
    begins = np.cumsum(weights) - weights
    of_stretch = begins * _stretches(points) // max(1, int(weights.sum()))
    starts = np.flatnonzero(np.diff(of_stretch, prepend=-1))
    owners = np.repeat(np.arange(len(parts)), [len(part.weights) for part in parts])
    single = np.concatenate([part.is_single for part in parts])
    low, high = np.concatenate([part.values for part in parts], axis=2)
    low_at, high_at = np.concatenate([part.at for part in parts], axis=2)
    chosen: list[Chosen] = []
    for row in range(len(source.places)):
        lowest, highest = first_lowest(low[row], starts), first_lowest(-high[row], starts)
        chosen.append(
            (
                np.concatenate((lowest, highest)),
                np.concatenate((low[row, lowest], high[row, highest])),
                np.concatenate((low_at[row, lowest], high_at[row, highest])),
            )
        )
    steps = _steps(session, windows, chosen, owners, single)
    return [by_step(own, found) for own, (_, found, _) in zip(steps, chosen, strict=True)]


def by_step(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
    """Points by ascending steps, each step once."""
    unique, first = np.unique(steps, return_index=True)
    return unique, values[first]


def _stretches(points: int) -> int:
    """Two extremes each, and room for the first and the last value."""
    return (points - 2) // 2


def _level(windows: Sequence[Window], points: int) -> int:
    """The level of the longest bins that are no longer than a stretch."""
    snapshots = sum(window.most for window in windows) / _stretches(points)
    return max((level for level in LEVELS if span(level) <= snapshots), default=LEVELS[0])


def _steps(
    session: Session,
    windows: Sequence[Window],
    chosen: Sequence[Chosen],
    owners: NDArray[np.intp],
    single: NDArray[np.bool_],
) -> list[NDArray[np.int64]]:
    """Steps of chosen pieces, a row a course: a single snapshot says its own, a bin does not."""
    found = [at.copy() for *_, at in chosen]
    for number, window in enumerate(windows):
        masks = [(owners[pieces] == number) & ~single[pieces] for pieces, *_ in chosen]
        asked = np.unique(np.concatenate([at[mask] for at, mask in zip(found, masks, strict=True)]))
        steps = steps_at(session, window.stretch.attempt_id, asked)
        for at, mask in zip(found, masks, strict=True):
            at[mask] = steps[np.searchsorted(asked, at[mask])]
    return found
