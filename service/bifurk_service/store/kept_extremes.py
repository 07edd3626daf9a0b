"""What is kept of thinned stretches: every statistic's least and greatest value, and their steps.

Reading a series over such a stretch gives these beside the rows that were left whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, insert, or_, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Attempt, KeptExtremesRow, Snapshot, Tensor

BINS: Final = 8
"""Bins of one row, as of ``extremes``."""
STAGES: Final = (1, 2, 3)
CELL: Final = np.dtype([("value", "<f8"), ("place", "<u2")])
"""A value, NaN without one, and how many sequences behind the begin of its row it stands."""

Points: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Ascending steps [n] and values [n] of one tensor."""


_NO_STEPS: Final = np.zeros(0, dtype=np.int64)
_NO_VALUES: Final = np.zeros(0)


class StretchLike(Protocol):
    """The steps of one attempt that count, up to an end that does not."""

    @property
    def attempt_id(self) -> int: ...  # noqa: D102 - see the class
    @property
    def end(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """One row: extremes of consecutive bins.

    Attributes:
        start: the sequence it begins with. cells: of ``CELL``, [BINS, 2, T].
    """

    stage: int
    start: int
    cells: NDArray[np.void]


def span(stage: int) -> int:
    """Snapshots that one bin spans."""
    return int(BINS**stage)


def kept_rows(
    session: Session,
    attempt_id: int,
    statistics: Sequence[str],
    *,
    start: int = 0,
    end: int | None = None,
) -> dict[str, list[Kept]]:
    """By statistic, its rows that tell of any sequence in [start, end), shortest bins first."""
    query = (
        select(
            KeptExtremesRow.statistic,
            KeptExtremesRow.stage,
            KeptExtremesRow.block,
            KeptExtremesRow.data,
        )
        .where(
            KeptExtremesRow.attempt_id == attempt_id,
            KeptExtremesRow.statistic.in_(statistics),
            _within(start, end),
        )
        .order_by(KeptExtremesRow.stage, KeptExtremesRow.block)
    )
    found: dict[str, list[Kept]] = {name: [] for name in statistics}
    for name, stage, block, data in session.execute(query):
        cells = np.frombuffer(data, dtype=CELL).reshape(BINS, 2, -1)
        found[name].append(Kept(stage=stage, start=block * BINS * span(stage), cells=cells))
    return found


def keep_rows(
    session: Session, attempt_id: int, found: Mapping[str, bytes], *, stage: int, start: int
) -> None:
    """Stores a row a statistic, in place of those that are there."""
    block = start // (BINS * span(stage))
    row = {"attempt_id": attempt_id, "stage": stage, "block": block}
    session.execute(
        delete(KeptExtremesRow).where(
            KeptExtremesRow.attempt_id == attempt_id,
            KeptExtremesRow.statistic.in_(list(found)),
            KeptExtremesRow.stage == stage,
            KeptExtremesRow.block == block,
        )
    )
    session.execute(
        insert(KeptExtremesRow),
        [{**row, "statistic": name, "data": data} for name, data in found.items()],
    )


def forget_kept(
    session: Session,
    attempt_id: int,
    statistics: Sequence[str],
    *,
    below: int,
    start: int,
    end: int,
) -> None:
    """Deletes the rows of earlier stages in a block of a later one, which tells of them."""
    session.execute(
        delete(KeptExtremesRow).where(
            KeptExtremesRow.attempt_id == attempt_id,
            KeptExtremesRow.statistic.in_(statistics),
            KeptExtremesRow.stage < below,
            _within(start, end),
        )
    )


def kept_points(
    session: Session,
    stretches: Sequence[StretchLike],
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> list[Points]:
    """The extremes that are kept where attempts are thinned, a course a tensor.

    Args:
        stretches: of a timeline, one after the other. first_step, last_step: both included.
    """
    parts = []
    for one in stretches:
        last = last_step
        if one.end is not None:
            last = one.end - 1 if last is None else min(last, one.end - 1)
        parts.append(_of_attempt(session, one.attempt_id, statistic, tensor_ids, first_step, last))
    return [
        (
            np.concatenate([_NO_STEPS, *(part[place][0] for part in parts)]),
            np.concatenate([_NO_VALUES, *(part[place][1] for part in parts)]),
        )
        for place in range(len(tensor_ids))
    ]


def _of_attempt(
    session: Session,
    attempt_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    first_step: int | None,
    last_step: int | None,
) -> list[Points]:
    rows = kept_rows(session, attempt_id, [statistic])[statistic]
    if not rows:
        return [(_NO_STEPS, _NO_VALUES) for _ in tensor_ids]
    sequences, steps = _steps(session, attempt_id, first_step, last_step)
    tensors = np.searchsorted(_tensors(session, attempt_id), tensor_ids)
    chosen = [_chosen(row, tensors) for row in rows]
    found = np.concatenate([values for values, _ in chosen])
    of = np.concatenate([places for _, places in chosen])
    at = np.searchsorted(sequences, of)
    known = ~np.isnan(found) & (at < len(sequences))
    known[known] = sequences[at[known]] == of[known]
    return [
        _course(steps[at[known[:, place], place]], found[known[:, place], place])
        for place in range(len(tensor_ids))
    ]


def merged(steps: NDArray[np.int64], values: NDArray[np.float64], kept: Points) -> Points:
    """Whole rows, [n] each, and the extremes kept beside them; where both are, the row counts."""
    if not len(kept[0]):
        return steps, values
    every = np.concatenate([steps, kept[0]])
    unique, first = np.unique(every, return_index=True)
    return unique, np.concatenate([values, kept[1]])[first]


def _chosen(row: Kept, places: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values and sequences of some tensors, [BINS * 2, T]; NaN of one that came later."""
    known = places < row.cells.shape[-1]
    values = np.full((2 * BINS, len(places)), np.nan)
    sequences = np.full((2 * BINS, len(places)), row.start, dtype=np.int64)
    cells = row.cells.reshape(2 * BINS, -1)[:, places[known]]
    values[:, known] = cells["value"]
    sequences[:, known] += cells["place"]
    return values, sequences


def _course(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
    unique, first = np.unique(steps, return_index=True)
    return unique, values[first]


def _tensors(session: Session, attempt_id: int) -> NDArray[np.int64]:
    """Ids of the tensors of an attempt's run, ascending: in this order rows hold them."""
    query = (
        select(Tensor.id)
        .join(Attempt, Attempt.run_id == Tensor.run_id)
        .where(Attempt.id == attempt_id)
        .order_by(Tensor.id)
    )
    return np.array(session.scalars(query).all(), dtype=np.int64)


def _steps(
    session: Session, attempt_id: int, first_step: int | None, last_step: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sequences and steps of an attempt's measured snapshots, [n] each, ascending."""
    query = select(Snapshot.sequence, Snapshot.step).where(
        Snapshot.attempt_id == attempt_id, Snapshot.measured_at.is_not(None)
    )
    if first_step is not None:
        query = query.where(Snapshot.step >= first_step)
    if last_step is not None:
        query = query.where(Snapshot.step <= last_step)
    rows = session.connection().execute(query.order_by(Snapshot.sequence)).cursor.fetchall()
    found = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _within(start: int, end: int | None) -> ColumnElement[bool]:
    """Of rows: whether any sequence in [start, end) is theirs."""
    return or_(
        *(
            (KeptExtremesRow.stage == stage)
            & (KeptExtremesRow.block >= start // (BINS * span(stage)))
            & (
                KeptExtremesRow.block < -(-end // (BINS * span(stage)))
                if end is not None
                else KeptExtremesRow.block >= 0
            )
            for stage in STAGES
        )
    )
