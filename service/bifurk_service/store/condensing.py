"""Condenses what is judged: the extremes of every 8, 64 and 512 snapshots, a row a statistic.

A figure of 5,000 snapshots has some hundred columns. From the table of statistics it would take
a million wide rows; from here, it takes a few hundred kilobytes. The rows tell nothing that is not
in that table and can be made anew at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    delete,
    func,
    select,
)
from sqlalchemy.orm import Session

from bifurk_service.stats.extreme_places import extremes_along
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.condensed_courses import condensed_courses
from bifurk_service.store.condensed_rows import (
    BINS,
    LEVELS,
    PLACE,
    keep_rows,
    rows_of_those_below,
    span,
)
from bifurk_service.store.kept_extremes import Kept, kept_rows
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    ExtremesRow,
    Snapshot,
    Tensor,
    Thinning,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condensed:
    """The next row of every statistic, not stored yet.

    Attributes:
        start: the sequence it begins with. snapshots: how many of its snapshots were measured.
        extremes: float64 [BINS, 2, T, statistics], NaN without a value. places: of the same shape,
            how many sequences behind the begin each stands.
    """

    start: int
    snapshots: int
    extremes: NDArray[np.float64]
    places: NDArray[np.uint16]


def attempts_to_condense(session: Session) -> list[int]:
    """Attempts of which judging has passed the end of a row that is not made yet."""
    return list(session.scalars(select(Attempt.id).where(condensable()).order_by(Attempt.id)))


def attempts_of_earlier_versions(session: Session) -> list[int]:
    """Attempts with rows that do not say where their extremes stand."""
    query = select(ExtremesRow.attempt_id).where(ExtremesRow.places.is_(None)).distinct()
    return list(session.scalars(query))


def condense_anew(session: Session, attempt_id: int) -> None:
    """Takes back all rows of an attempt: from here on it is to be condensed from its begin."""
    attempt = session.get(Attempt, attempt_id, with_for_update=True)
    session.execute(delete(ExtremesRow).where(ExtremesRow.attempt_id == attempt_id))
    if attempt is not None:
        attempt.condensed = 0


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
    kept = _kept(session, attempt_id, start)
    shape = (BINS, 2, len(tensor_ids), len(STATISTIC_NAMES))
    extremes, places = np.full(shape, np.nan), np.zeros(shape, dtype=PLACE)
    for number in range(BINS):
        behind = number * span(1)
        values = _values(session, attempt_id, tensor_ids, start + behind, kept)
        extremes[number], at = extremes_along(values)
        places[number] = at + behind
    return Condensed(
        start=start,
        snapshots=_measured(session, attempt_id, start),
        extremes=extremes,
        places=places,
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
    rows = {
        name: (condensed.extremes[..., place], condensed.places[..., place])
        for place, name in enumerate(STATISTIC_NAMES)
    } | condensed_courses(session, attempt, condensed.start)
    keep_rows(session, attempt_id, rows, level=LEVELS[0], start=condensed.start)
    attempt.condensed = condensed.start + BINS * span(1)
    for level in LEVELS[1:]:
        length = BINS * span(level)
        if attempt.condensed % length:
            break
        start = attempt.condensed - length
        below = rows_of_those_below(session, attempt_id, level, start)
        if below is not None:
            keep_rows(session, attempt_id, below, level=level, start=start)
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


def _values(
    session: Session,
    attempt_id: int,
    tensor_ids: Sequence[int],
    start: int,
    kept: Mapping[str, Sequence[Kept]],
) -> NDArray[np.float64]:
    """Everything of a bin of the first level, float64 [snapshots, T, statistics]; NaN without."""
    values = np.full((span(1), len(tensor_ids), len(STATISTIC_NAMES)), np.nan)
    asked = {"attempt": attempt_id, "start": start, "end": start + span(1), "none": math.inf}
    rows = session.connection().execute(_values_of_a_bin(), asked)
    read = cast("Iterable[tuple[float, ...]]", rows.cursor)
    flat = np.fromiter(chain.from_iterable(read), dtype=np.float64).reshape(
        -1, 2 + len(STATISTIC_NAMES)
    )
    tensors, at = flat[:, 0].astype(np.int64), flat[:, 1].astype(np.int64)
    found = np.where(np.isinf(flat[:, 2:]), np.nan, flat[:, 2:])
    values[at, np.searchsorted(tensor_ids, tensors)] = found
    _add_kept(values, start, kept)
    return values


@cache
def _values_of_a_bin() -> Select[*tuple[Any, ...]]:
    """Made once: of a hundred columns, that takes longer than the reading."""
    table, start = TENSOR_STATS.c, bindparam("start", type_=BigInteger)
    none: BindParameter[float] = bindparam("none")
    columns = [func.coalesce(table[name], none) for name in STATISTIC_NAMES]
    return (
        select(table.tensor_id, Snapshot.sequence - start, *columns)
        .join(Snapshot, (Snapshot.attempt_id == table.attempt_id) & (Snapshot.step == table.step))
        .where(
            table.attempt_id == bindparam("attempt"),
            Snapshot.sequence >= start,
            Snapshot.sequence < bindparam("end"),
        )
    )


def _kept(session: Session, attempt_id: int, start: int) -> Mapping[str, Sequence[Kept]]:
    """What is kept of thinned snapshots counts, wherever it has to be condensed again."""
    if session.get(Thinning, attempt_id) is None:
        return {}
    return kept_rows(session, attempt_id, STATISTIC_NAMES, start=start, end=start + BINS * span(1))


def _add_kept(values: NDArray[np.float64], start: int, kept: Mapping[str, Sequence[Kept]]) -> None:
    """An extreme is the value itself, at its place."""
    for index, name in enumerate(STATISTIC_NAMES if kept else ()):
        for row in kept[name]:
            at = row.cells["place"].astype(np.int64) + row.start - start
            known = (at >= 0) & (at < len(values)) & ~np.isnan(row.cells["value"])
            *_, tensors = np.nonzero(known)
            values[at[known], tensors, index] = row.cells["value"][known]


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
