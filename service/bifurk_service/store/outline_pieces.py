"""Pieces that long series are outlined from: bins of one level, and smaller ones at their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import false, or_, select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_rows import BINS, decoded, decoded_places, span
from bifurk_service.store.courses import read_stretch
from bifurk_service.store.models import AttemptSums, ExtremesRow, Snapshot
from bifurk_service.store.timeline import Stretch

AT_ONCE: Final = 500
"""Sequences that one statement names."""

Range: TypeAlias = tuple[int, int]
"""Sequences from the first to the last, both included."""


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
    session: Session, stretch: Stretch, first_step: int | None, last_step: int | None
) -> Window | None:
    """A stretch's part between two steps, both included; None without a measured snapshot."""
    query = select(Snapshot.sequence, Snapshot.step).where(
        Snapshot.attempt_id == stretch.attempt_id, Snapshot.measured_at.is_not(None)
    )
    if stretch.end is not None:
        query = query.where(Snapshot.step < stretch.end)
    if first_step is not None:
        query = query.where(Snapshot.step >= first_step)
    if last_step is not None:
        query = query.where(Snapshot.step <= last_step)
    first = session.execute(query.order_by(Snapshot.step).limit(1)).first()
    last = session.execute(query.order_by(Snapshot.step.desc()).limit(1)).first()
    if first is None or last is None:
        return None
    own = AttemptSums.attempt_id == stretch.attempt_id
    measured = session.scalar(select(AttemptSums.with_values).where(own)) or 0
    return Window(
        stretch=stretch,
        first=first.sequence,
        last=last.sequence,
        first_step=first.step,
        last_step=last.step,
        most=min(measured, last.sequence - first.sequence + 1),
    )


def pieces_of(
    session: Session,
    window: Window,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    places: NDArray[np.intp],
    level: int,
) -> Pieces:
    """A window in bins of a level, smaller ones where those are not, and single snapshots.

    Args:
        places: of the tensors among the run's, by id. level: of the longest bins.
    """
    left: list[Range] = [(window.first, window.last)]
    begins: list[NDArray[np.int64]] = []
    parts: list[Pieces] = []
    for each in range(level, 0, -1):
        starts, part = _bins(session, window.stretch.attempt_id, each, statistic, places, left)
        begins.append(starts)
        parts.append(part)
        left = _without(left, starts, span(each))
    for first, last in left:
        part = _singles(session, window, statistic, tensor_ids, first, last)
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


def _bins(
    session: Session,
    attempt_id: int,
    level: int,
    statistic: str,
    places: NDArray[np.intp],
    left: Sequence[Range],
) -> tuple[NDArray[np.int64], Pieces]:
    """The bins of a level that lie in what is left: where they begin, ascending, and they."""
    length = BINS * span(level)
    rows = session.execute(
        select(ExtremesRow.block, ExtremesRow.data, ExtremesRow.places)
        .where(
            ExtremesRow.attempt_id == attempt_id,
            ExtremesRow.level == level,
            ExtremesRow.statistic == statistic,
            ExtremesRow.places.is_not(None),
            or_(
                false(),
                *(
                    ExtremesRow.block.between(first // length, last // length)
                    for first, last in left
                ),
            ),
        )
        .order_by(ExtremesRow.block)
    )
    known = [(block * length, data, at) for block, data, at in rows if at is not None]
    starts = np.array([start for start, *_ in known], dtype=np.int64)
    begins = (starts[:, None] + span(level) * np.arange(BINS)).reshape(-1)
    values = np.full((len(begins), 2, len(places)), np.nan)
    at = np.zeros(values.shape, dtype=np.int64)
    for number, (start, data, behind) in enumerate(known):
        row = slice(number * BINS, (number + 1) * BINS)
        extremes, stands = decoded(data), decoded_places(behind) + start
        # A tensor that came after the row was made has no value in it.
        among = places < extremes.shape[-1]
        values[row][..., among] = extremes[..., places[among]]
        at[row][..., among] = stands[..., places[among]]
    inside = _are_inside(begins, span(level), left)
    begins = begins[inside]
    return begins, Pieces(
        weights=np.full(len(begins), span(level)),
        values=np.moveaxis(values[inside], 0, 2),
        at=np.moveaxis(at[inside], 0, 2),
        is_single=np.zeros(len(begins), dtype=np.bool_),
    )


def _are_inside(
    begins: NDArray[np.int64], length: int, ranges: Sequence[Range]
) -> NDArray[np.bool_]:
    """Which stretches of a length lie in one of some ranges, ascending, with all they have."""
    if not ranges:
        return np.zeros(len(begins), dtype=np.bool_)
    firsts, lasts = np.array(ranges, dtype=np.int64).T
    which = np.searchsorted(firsts, begins, side="right") - 1
    found: NDArray[np.bool_] = begins + length - 1 <= lasts[np.maximum(which, 0)]
    return found & (which >= 0)


def _without(ranges: Sequence[Range], begins: NDArray[np.int64], length: int) -> list[Range]:
    """What stretches of a length, ascending and each in one range, leave of the ranges."""
    left: list[Range] = []
    for first, last in ranges:
        own = begins[(begins >= first) & (begins <= last)]
        edges = np.concatenate(([first], own + length))
        ends = np.concatenate((own - 1, [last]))
        left += [(int(a), int(b)) for a, b in zip(edges, ends, strict=True) if a <= b]
    return left


def _singles(
    session: Session,
    window: Window,
    statistic: str,
    tensor_ids: Sequence[int],
    first: int,
    last: int,
) -> Pieces:
    """Snapshots one by one, and what is kept of those that are thinned."""
    own = select(Snapshot.step).where(
        Snapshot.attempt_id == window.stretch.attempt_id, Snapshot.sequence.between(first, last)
    )
    begin = session.scalar(own.order_by(Snapshot.sequence).limit(1))
    end = session.scalar(own.order_by(Snapshot.sequence.desc()).limit(1))
    steps, values = np.zeros(0, dtype=np.int64), np.zeros((len(tensor_ids), 0))
    if begin is not None and end is not None:
        found = read_stretch(
            session, statistic, tensor_ids, window.stretch, first_step=begin, last_step=end
        )
        steps, values = found.steps, found.values
    return Pieces(
        weights=np.ones(len(steps), dtype=np.int64),
        values=np.stack([values, values]),
        at=np.broadcast_to(steps, (2, *values.shape)),
        is_single=np.ones(len(steps), dtype=np.bool_),
    )
