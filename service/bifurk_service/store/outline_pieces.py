"""Pieces that long series are outlined from: bins of one level, and smaller ones at their edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_bins import Bins, Range, bins_in, without
from bifurk_service.store.condensed_rows import span
from bifurk_service.store.courses import Courses
from bifurk_service.store.models import AttemptSums, Snapshot
from bifurk_service.store.timeline import Stretch

AT_ONCE: Final = 500
"""Sequences that one statement names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranges:
    """What lies between a least and a greatest value: steps [N], low and high float64 [T, N]."""

    steps: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


Singles: TypeAlias = Callable[[Stretch, int, int], "Courses | Ranges"]
"""Reads courses of a stretch between two steps, both included, every value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is asked for of one stretch of a timeline.

    Attributes:
        first, last: its measured sequences. first_step, last_step: their steps, all included.
        most: no more snapshots of it are measured.
    """

    stretch: Stretch
    first: int
    last: int
    first_step: int
    last_step: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """P pieces of T courses, one after the other.

    Attributes:
        weights: about how many snapshots each has, int64 [P].
        values: the least and the greatest in each, float64 [2, T, P], NaN without one.
        at: where those stand, int64 [2, T, P]: a step where the piece is a single snapshot, else
            a sequence.
        is_single: bool [P].
    """

    weights: NDArray[np.int64]
    values: NDArray[np.float64]
    at: NDArray[np.int64]
    is_single: NDArray[np.bool_]


def window_of(
    session: Session,
    stretch: Stretch,
    first_step: int | None = None,
    last_step: int | None = None,
    *,
    measured: bool = True,
) -> Window | None:
    """A stretch's part between two steps, both included; None without a snapshot.

    Args:
        measured: whether only snapshots that are measured count.
    """
    query = select(Snapshot.sequence, Snapshot.step).where(
        Snapshot.attempt_id == stretch.attempt_id
    )
    if measured:
        query = query.where(Snapshot.measured_at.is_not(None))
    if first_step is not None:
        query = query.where(Snapshot.step >= first_step)
    if (last_step := stretch.last_step(last_step)) is not None:
        query = query.where(Snapshot.step <= last_step)
    first = session.execute(query.order_by(Snapshot.step).limit(1)).first()
    last = session.execute(query.order_by(Snapshot.step.desc()).limit(1)).first()
    if first is None or last is None:
        return None
    own = AttemptSums.attempt_id == stretch.attempt_id
    count = AttemptSums.with_values if measured else AttemptSums.snapshots
    most = session.scalar(select(count).where(own)) or 0
    return Window(
        stretch=stretch,
        first=first.sequence,
        last=last.sequence,
        first_step=first.step,
        last_step=last.step,
        most=min(most, last.sequence - first.sequence + 1),
    )


def pieces_of(
    session: Session,
    window: Window,
    name: str,
    *,
    places: NDArray[np.intp],
    level: int,
    singles: Singles,
) -> Pieces:
    """A window in bins of a level, smaller ones where those are not, and single snapshots.

    Args:
        name: of the rows. places: of the courses in them. level: of the longest bins.
        singles: reads the same courses where there are no bins.
    """
    left: list[Range] = [(window.first, window.last)]
    begins: list[NDArray[np.int64]] = []
    parts: list[Pieces] = []
    for each in range(level, 0, -1):
        bins = bins_in(session, window.stretch.attempt_id, each, name, places, left)
        begins.append(bins.begins)
        parts.append(_pieces(bins, each))
        left = without(left, bins.begins, span(each))
    for first, last in left:
        part = _singles(session, window, first, last, singles=singles, courses=len(places))
        begins.append(np.full(len(part.weights), first))
        parts.append(part)
    order = np.argsort(np.concatenate(begins), kind="stable")
    return Pieces(
        weights=np.concatenate([part.weights for part in parts])[order],
        values=np.concatenate([part.values for part in parts], axis=2)[..., order],
        at=np.concatenate([part.at for part in parts], axis=2)[..., order],
        is_single=np.concatenate([part.is_single for part in parts])[order],
    )


def steps_at(session: Session, attempt_id: int, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps of an attempt's snapshots, by their sequences, ascending [n]."""
    found: list[int] = []
    for first in range(0, len(sequences), AT_ONCE):
        query = select(Snapshot.step).where(
            Snapshot.attempt_id == attempt_id,
            Snapshot.sequence.in_(sequences[first : first + AT_ONCE].tolist()),
        )
        found += session.scalars(query.order_by(Snapshot.sequence)).all()
    return np.array(found, dtype=np.int64)


def steps_between(
    session: Session, attempt_id: int, first: int, last: int
) -> tuple[int, int] | None:
    """The first and the last step between two sequences, both included; None without a snapshot."""
    own = select(Snapshot.step).where(
        Snapshot.attempt_id == attempt_id, Snapshot.sequence.between(first, last)
    )
    begin = session.scalar(own.order_by(Snapshot.sequence).limit(1))
    end = session.scalar(own.order_by(Snapshot.sequence.desc()).limit(1))
    return None if begin is None or end is None else (begin, end)


def _pieces(bins: Bins, level: int) -> Pieces:
    return Pieces(
        weights=np.full(len(bins.begins), span(level)),
        values=bins.values,
        at=bins.at,
        is_single=np.zeros(len(bins.begins), dtype=np.bool_),
    )


def _singles(
    session: Session, window: Window, first: int, last: int, *, singles: Singles, courses: int
) -> Pieces:
    """Snapshots one by one, and what is kept of those that are thinned."""
    ends = steps_between(session, window.stretch.attempt_id, first, last)
    steps, values = np.zeros(0, dtype=np.int64), np.zeros((2, courses, 0))
    if ends is not None:
        found = singles(window.stretch, *ends)
        both = (found.low, found.high) if isinstance(found, Ranges) else (found.values,) * 2
        steps, values = found.steps, np.stack(both)
    return Pieces(
        weights=np.ones(len(steps), dtype=np.int64),
        values=values,
        at=np.broadcast_to(steps, values.shape),
        is_single=np.ones(len(steps), dtype=np.bool_),
    )
