"""Courses of long runs, read from what is condensed where that is narrow enough to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bifurk_service.stats.spans import Spans, joined, single_steps
from bifurk_service.store.condensed_rows import BINS, LEVELS, decoded, span
from bifurk_service.store.courses import read_stretch
from bifurk_service.store.models import Attempt, ExtremesRow, Snapshot, Tensor
from bifurk_service.store.timeline import Stretch, timeline

Narrow: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Says of stretches from first to last steps, int64 [M] each, which may be drawn as one value."""

SINGLE: Final = BINS * span(1)
"""Snapshots of an attempt that are always read one by one: changes are told from the first."""


def read_spans(
    session: Session,
    run_id: int,
    statistic: str,
    tensor_ids: Sequence[int],
    *,
    narrow: Narrow,
    attempt: str | None = None,
) -> Spans:
    """A registered statistic along the run's timeline, or of one attempt, T tensors.

    Stretches are as long as they may be, and single snapshots where nothing is condensed.
    """
    parts = []
    for stretch in timeline(session, run_id, attempt):
        reader = _Reader(session, run_id, stretch, statistic, tensor_ids)
        parts += reader.condensed(narrow)
        parts += reader.single()
    return joined(parts, courses=len(tensor_ids))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bins:
    """Bins of one level, M of them: which, and from where to where in the snapshots, [M] each."""

    numbers: NDArray[np.int64]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    def only(self, chosen: NDArray[np.bool_]) -> _Bins:
        return _Bins(
            numbers=self.numbers[chosen], starts=self.starts[chosen], ends=self.ends[chosen]
        )


class _Reader:
    """Of one stretch; every snapshot is read once, as a part of a bin or by itself."""

    def __init__(
        self,
        session: Session,
        run_id: int,
        stretch: Stretch,
        statistic: str,
        tensor_ids: Sequence[int],
    ) -> None:
        self._session = session
        self._stretch = stretch
        self._statistic = statistic
        self._tensor_ids = tensor_ids
        every = select(Tensor.id).where(Tensor.run_id == run_id).order_by(Tensor.id)
        self._places = np.searchsorted(np.array(session.scalars(every).all()), tensor_ids)
        self._sequences, self._steps, self._until = _snapshots(session, stretch)
        self._taken = np.zeros(len(self._steps), dtype=np.bool_)

    def condensed(self, narrow: Narrow) -> list[Spans]:
        """From the longest bins to the shortest."""
        return [
            part
            for level in reversed(LEVELS)
            if (part := self._from_level(level, narrow)) is not None
        ]

    def _from_level(self, level: int, narrow: Narrow) -> Spans | None:
        bins = self._bins(level)
        bins = bins.only(narrow(self._steps[bins.starts], self._steps[bins.ends - 1]))
        if not len(bins.numbers):
            return None
        rows = self._rows(level, bins.numbers // BINS)
        bins = bins.only(np.isin(bins.numbers // BINS, list(rows)))
        if not len(bins.numbers):
            return None
        numbers = bins.numbers.tolist()
        extremes = np.stack([rows[number // BINS][number % BINS] for number in numbers])
        for start, end in zip(bins.starts, bins.ends, strict=True):
            self._taken[start:end] = True
        return Spans(
            first=self._steps[bins.starts],
            last=self._steps[bins.ends - 1],
            low=extremes[:, 0].T,
            high=extremes[:, 1].T,
        )

    def _bins(self, level: int) -> _Bins:
        """Those that hold snapshots nobody has taken, and none that is beyond what is condensed."""
        numbers, starts = np.unique(self._sequences // span(level), return_index=True)
        bins = _Bins(numbers=numbers, starts=starts, ends=np.append(starts[1:], len(self._steps)))
        free = ~np.logical_or.reduceat(self._taken, starts) if len(starts) else starts == 0
        return bins.only(
            free & (numbers * span(level) >= SINGLE) & ((numbers + 1) * span(level) <= self._until)
        )

    def _rows(self, level: int, blocks: NDArray[np.int64]) -> dict[int, NDArray[np.float64]]:
        """By block, the extremes of the tensors asked for, [BINS, 2, T]."""
        query = select(ExtremesRow.block, ExtremesRow.data).where(
            ExtremesRow.attempt_id == self._stretch.attempt_id,
            ExtremesRow.level == level,
            ExtremesRow.statistic == self._statistic,
            ExtremesRow.block.between(int(blocks[0]), int(blocks[-1])),
        )
        return {block: self._chosen(decoded(data)) for block, data in self._session.execute(query)}

    def _chosen(self, extremes: NDArray[np.float64]) -> NDArray[np.float64]:
        """A tensor that came after the row was made has no value in it."""
        chosen = np.full((*extremes.shape[:2], len(self._places)), np.nan)
        known = self._places < extremes.shape[-1]
        chosen[..., known] = extremes[..., self._places[known]]
        return chosen

    def single(self) -> list[Spans]:
        """What no bin has taken, a part a stretch of neighbours."""
        left = np.flatnonzero(~self._taken)
        groups = np.split(left, np.flatnonzero(np.diff(left) > 1) + 1) if len(left) else []
        return [self._one_by_one(group) for group in groups]

    def _one_by_one(self, group: NDArray[np.intp]) -> Spans:
        courses = read_stretch(
            self._session,
            self._statistic,
            self._tensor_ids,
            self._stretch,
            first_step=int(self._steps[group[0]]),
            last_step=int(self._steps[group[-1]]),
        )
        return single_steps(courses.steps, courses.values)


def _snapshots(
    session: Session, stretch: Stretch
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Sequences and steps of a stretch's measured snapshots, [N] each.

    Also the sequence before which bins may end: what is condensed, and within the stretch.
    """
    until = session.scalar(select(Attempt.condensed).where(Attempt.id == stretch.attempt_id)) or 0
    rows = session.execute(
        select(Snapshot.sequence, Snapshot.step)
        .where(Snapshot.attempt_id == stretch.attempt_id, Snapshot.measured_at.is_not(None))
        .order_by(Snapshot.sequence)
    )
    found = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    count = len(found)
    if stretch.end is not None and (beyond := np.flatnonzero(found[:, 1] >= stretch.end)).size:
        count = int(beyond[0])
        until = min(until, int(found[count, 0]))
    return found[:count, 0], found[:count, 1], until
