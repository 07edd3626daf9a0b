"""Condenses what is judged: the extremes of every 8, 64 and 512 snapshots, a row a statistic.

A figure of 5,000 snapshots has some hundred columns. From the table of statistics it would take
a million wide rows; from here, it takes a few hundred kilobytes. The rows tell nothing that is not
in that table and can be made anew at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from bifurk_service.stats.spans import extremes_of_stretches
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.kept_extremes import kept_rows
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ExtremesRow,
    Snapshot,
    Tensor,
    Thinning,
)

BINS: Final = 8
"""Bins of one row; as many bins of a level are one of the next."""
LEVELS: Final = (1, 2, 3)
ENCODING: Final = "<f8"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condensed:
    """The next row of every statistic, not stored yet.

    Attributes:
        start: the sequence it begins with. snapshots: how many of its snapshots were measured.
        extremes: float64 [BINS, 2, T, statistics].
    """

    start: int
    snapshots: int
    extremes: NDArray[np.float64]


def span(level: int) -> int:
    """Snapshots that one bin spans."""
    return int(BINS**level)


def attempts_to_condense(session: Session) -> list[int]:
    """Attempts of which judging has passed the end of a row that is not made yet."""
    return list(session.scalars(select(Attempt.id).where(condensable()).order_by(Attempt.id)))


def condensable() -> ColumnElement[bool]:
    """Whether an attempt has enough judged snapshots behind it for its next row."""
    return Attempt.cursor + 1 - Attempt.condensed >= BINS * span(1)


def condense(session: Session, attempt_id: int) -> Condensed | None:
    """What ``keep_condensed`` is to store next; None where nothing is due."""
    attempt = session.get(Attempt, attempt_id)
    if attempt is None:
        return None
    start = _next_start(session, attempt)
    if attempt.cursor + 1 - start < BINS * span(1):
        return None
    tensor_ids = _tensor_ids(session, attempt)
    place = (Snapshot.sequence - start) // span(1)
    table = TENSOR_STATS.c
    columns = [table[name] for name in STATISTIC_NAMES]
    rows = session.execute(
        select(
            table.tensor_id,
            place,
            *(func.min(column) for column in columns),
            *(func.max(column) for column in columns),
        )
        .join(
            Snapshot,
            (Snapshot.attempt_id == table.attempt_id) & (Snapshot.step == table.step),
        )
        .where(table.attempt_id == attempt_id, _within(start))
        .group_by(table.tensor_id, place)
    ).all()
    extremes = np.full((BINS, 2, len(tensor_ids), len(columns)), np.nan)
    if rows:
        found = np.array([tuple(row) for row in rows], dtype=np.float64)
        tensors = np.searchsorted(tensor_ids, found[:, 0].astype(np.int64))
        bins = found[:, 1].astype(np.int64)
        extremes[bins, :, tensors] = found[:, 2:].reshape(len(found), 2, len(columns))
    _add_kept(session, attempt_id, start, extremes)
    return Condensed(
        start=start, snapshots=_measured(session, attempt_id, start), extremes=extremes
    )


def keep_condensed(session: Session, attempt_id: int, condensed: Condensed) -> bool:
    """Stores rows, and those of the levels above that they complete.

    Returns:
        Whether it was stored: not where a snapshot has been measured in between.
    """
    attempt = session.get(Attempt, attempt_id, with_for_update=True)
    measured = _measured(session, attempt_id, condensed.start)
    if attempt is None or measured != condensed.snapshots:
        return False
    if _next_start(session, attempt) != condensed.start:
        return False
    _keep(session, attempt_id, LEVELS[0], condensed.start, condensed.extremes)
    attempt.condensed = condensed.start + BINS * span(1)
    for level in LEVELS[1:]:
        length = BINS * span(level)
        if attempt.condensed % length:
            break
        start = attempt.condensed - length
        below = _rows_below(session, attempt_id, level, start)
        if below is not None:
            _keep(session, attempt_id, level, start, below)
    return True


def forget_condensed(session: Session, attempt: Attempt, sequence: int) -> None:
    """Takes back every row that tells of a sequence or of a later one: it has come just now."""
    if sequence >= attempt.condensed:
        return
    attempt.condensed = sequence - sequence % (BINS * span(1))
    for level in LEVELS:
        session.execute(
            delete(ExtremesRow).where(
                ExtremesRow.attempt_id == attempt.id,
                ExtremesRow.level == level,
                ExtremesRow.block >= sequence // (BINS * span(level)),
            )
        )


def decoded(data: bytes) -> NDArray[np.float64]:
    """A row's extremes, float64 [BINS, 2, T]."""
    return np.frombuffer(data, dtype=ENCODING).reshape(BINS, 2, -1)


def _keep(
    session: Session, attempt_id: int, level: int, start: int, extremes: NDArray[np.float64]
) -> None:
    session.execute(
        insert(ExtremesRow),
        [
            {
                "attempt_id": attempt_id,
                "level": level,
                "statistic": name,
                "block": start // (BINS * span(level)),
                "data": extremes[..., place].astype(ENCODING).tobytes(),
            }
            for place, name in enumerate(STATISTIC_NAMES)
        ],
    )


def _rows_below(
    session: Session, attempt_id: int, level: int, start: int
) -> NDArray[np.float64] | None:
    """The extremes of a level's row from the rows of the level below, [BINS, 2, T, statistics]."""
    first = start // (BINS * span(level - 1))
    rows = session.execute(
        select(ExtremesRow.statistic, ExtremesRow.block, ExtremesRow.data).where(
            ExtremesRow.attempt_id == attempt_id,
            ExtremesRow.level == level - 1,
            ExtremesRow.block >= first,
            ExtremesRow.block < first + BINS,
        )
    ).all()
    found = {(name, block): decoded(data) for name, block, data in rows}
    if len({block for _, block in found}) < BINS:
        return None  # over a gap in the sequences: there the rows below are read
    tensors = max(one.shape[-1] for one in found.values())
    extremes = np.full((BINS, BINS, 2, tensors, len(STATISTIC_NAMES)), np.nan)
    for place, name in enumerate(STATISTIC_NAMES):
        for block in range(BINS):
            one = found.get((name, first + block))
            if one is not None:
                extremes[block, :, :, : one.shape[-1], place] = one
    return extremes_of_stretches(extremes.reshape(-1, *extremes.shape[2:]), BINS)


def _add_kept(session: Session, attempt_id: int, start: int, extremes: NDArray[np.float64]) -> None:
    """What is kept of thinned snapshots counts, wherever it has to be condensed again."""
    if session.get(Thinning, attempt_id) is None:
        return
    end = start + BINS * span(1)
    kept = kept_rows(session, attempt_id, STATISTIC_NAMES, start=start, end=end)
    for index, name in enumerate(STATISTIC_NAMES):
        for row in kept[name]:
            at = row.cells["place"].astype(np.int64) + row.start - start
            bins, side, tensors = np.nonzero(
                (at >= 0) & (at < end - start) & ~np.isnan(row.cells["value"])
            )
            values = row.cells["value"][bins, side, tensors]
            cells = at[bins, side, tensors] // span(1), tensors
            for which, extreme in enumerate((np.fmin, np.fmax)):
                extreme.at(extremes[:, which, :, index], cells, values)


def _next_start(session: Session, attempt: Attempt) -> int:
    """Where the next row begins: a gap in the sequences, however wide, is stepped over at once."""
    following = session.scalar(
        select(func.min(Snapshot.sequence)).where(
            Snapshot.attempt_id == attempt.id,
            Snapshot.sequence >= attempt.condensed,
            Snapshot.measured_at.is_not(None),
        )
    )
    first = attempt.cursor + 1 if following is None else following
    return max(attempt.condensed, int(first) - int(first) % (BINS * span(1)))


def _tensor_ids(session: Session, attempt: Attempt) -> list[int]:
    query = select(Tensor.id).where(Tensor.run_id == attempt.run_id).order_by(Tensor.id)
    return list(session.scalars(query))


def _within(start: int) -> ColumnElement[bool]:
    return (Snapshot.sequence >= start) & (Snapshot.sequence < start + BINS * span(1))


def _measured(session: Session, attempt_id: int, start: int) -> int:
    query = (
        select(func.count())
        .select_from(Snapshot)
        .where(Snapshot.attempt_id == attempt_id, _within(start), Snapshot.measured_at.is_not(None))
    )
    return session.scalar(query) or 0
