"""Where a run's learning rate may have jumped, found among what is condensed.

A stretch whose extremes are close holds no jump, however many snapshots it has; only where they are
not are smaller stretches looked at, and snapshots read at last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from bifurk_service.store.condensed_bins import Range, bins_in, without
from bifurk_service.store.condensed_courses import RATE
from bifurk_service.store.condensed_rows import LEVELS, span
from bifurk_service.store.models import Snapshot
from bifurk_service.store.outline_pieces import Window, window_of
from bifurk_service.store.timeline import timeline

MOST_PLACES: Final = 1_000
"""Stretches of an attempt looked into at each length, those nearest to the step asked about."""
AT_ONCE: Final = 100
"""Ranges, or sequences, that one statement names."""

MayJump: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""Says of the least and the greatest rates of stretches, float64 [N], whether one may hold a jump;
not where there are none (NaN)."""


@dataclass(frozen=True, slots=True)
class RateAt:
    """The first parameter group's learning rate at a snapshot; NaN where it was not told."""

    sequence: int
    step: int
    rate: float


Neighbours: TypeAlias = tuple[RateAt, RateAt]


def neighbours_that_may_jump(
    session: Session, run_id: int, *, may_jump: MayJump, around: int
) -> list[Neighbours]:
    """Snapshots next to each other along a run between which its learning rate may have jumped.

    All of them, unless there are more than ``MOST_PLACES`` stretches to look into: then those
    nearest to a step.

    Args:
        may_jump: by this stretches are told apart. around: the step.
    """
    found: list[Neighbours] = []
    before: RateAt | None = None
    for stretch in timeline(session, run_id):
        window = window_of(session, stretch, measured=False)
        if window is None:
            continue
        reader = _Reader(session, window)
        first, last = (next(iter(reader.at([end]))) for end in (window.first, window.last))
        if before is not None:
            found.append((before, first))
        found += reader.neighbours(may_jump, around)
        before = last
    return found


class _Reader:
    """Of one attempt's snapshots in a window."""

    def __init__(self, session: Session, window: Window) -> None:
        self._session = session
        self._window = window

    def neighbours(self, may_jump: MayJump, around: int) -> list[Neighbours]:
        left, cuts = self._places(may_jump, self._sequence_at(around))
        found = {pair for one in self._within(left) for pair in pairwise(one)}
        found.update(self._across(cuts))
        return sorted(found, key=lambda pair: pair[1].step)

    def _places(self, may_jump: MayJump, middle: int) -> tuple[list[Range], list[int]]:
        """Ranges of snapshots to read, and sequences that neighbours are wanted across."""
        window = self._window
        left: list[Range] = [(window.first, window.last)]
        calm: list[tuple[int, int, float, float]] = []
        for level in reversed(LEVELS):
            length = span(level)
            bins = bins_in(
                self._session, window.stretch.attempt_id, level, RATE, np.array([0]), left
            )
            low, high = bins.values[:, 0]
            jumps = may_jump(low, high)
            begins = bins.begins[~jumps]
            ends = begins + length - 1
            rows = (one.tolist() for one in (begins, ends, low[~jumps], high[~jumps]))
            calm += zip(*rows, strict=True)
            nearest = np.argsort(np.abs(bins.begins[jumps] - middle), kind="stable")
            given_up = bins.begins[jumps][nearest[MOST_PLACES:]]
            left = without(left, np.sort(np.append(begins, given_up)), length)
        cuts = [one for first, last in left for one in (first, last + 1)]
        return left, [*cuts, *_restless_edges(sorted(calm), may_jump)]

    def _within(self, ranges: Sequence[Range]) -> Iterable[list[RateAt]]:
        """The snapshots of each range."""
        firsts = [first for first, _ in ranges]
        found: list[list[RateAt]] = [[] for _ in ranges]
        for start in range(0, len(ranges), AT_ONCE):
            some = [Snapshot.sequence.between(*one) for one in ranges[start : start + AT_ONCE]]
            for one in self._read(self._own().where(or_(*some))):
                found[int(np.searchsorted(firsts, one.sequence, side="right")) - 1].append(one)
        return found

    def _across(self, cuts: Sequence[int]) -> Iterable[Neighbours]:
        """The last snapshot before each sequence and the first from it on, where there are both."""
        window = self._window
        inside = sorted({cut for cut in cuts if window.first < cut <= window.last})
        known = {one.sequence: one for one in self.at([*(cut - 1 for cut in inside), *inside])}
        for cut in inside:
            yield (
                known.get(cut - 1) or self._next(cut - 1, back=True),
                known.get(cut) or self._next(cut),
            )

    def at(self, sequences: Sequence[int]) -> Iterable[RateAt]:
        """The snapshots of these sequences that there are."""
        wanted = sorted(set(sequences))
        for start in range(0, len(wanted), AT_ONCE):
            some = Snapshot.sequence.in_(wanted[start : start + AT_ONCE])
            yield from self._read(self._own().where(some))

    def _next(self, sequence: int, *, back: bool = False) -> RateAt:
        """From a sequence on; the window's ends are snapshots, so that there is one."""
        place = Snapshot.sequence
        query = self._own().where(place <= sequence if back else place >= sequence)
        order = place.desc() if back else place
        [found] = self._read(query.order_by(None).order_by(order).limit(1))
        return found

    def _sequence_at(self, step: int) -> int:
        query = select(Snapshot.sequence).where(
            Snapshot.attempt_id == self._window.stretch.attempt_id, Snapshot.step >= step
        )
        found = self._session.scalar(query.order_by(Snapshot.step).limit(1))
        return self._window.last if found is None else min(found, self._window.last)

    def _own(self) -> Select[int, int, Any]:
        rate = Snapshot.learning_rates[0].as_float()
        query = select(Snapshot.sequence, Snapshot.step, rate).order_by(Snapshot.sequence)
        return query.where(Snapshot.attempt_id == self._window.stretch.attempt_id)

    def _read(self, query: Select[int, int, Any]) -> list[RateAt]:
        return [
            RateAt(sequence, step, np.nan if rate is None else rate)
            for sequence, step, rate in self._session.execute(query)
        ]


def _restless_edges(calm: Sequence[tuple[int, int, float, float]], may_jump: MayJump) -> list[int]:
    """Where stretches without a jump begin right behind others that are far from them."""
    touching = [(one, two) for one, two in pairwise(calm) if one[1] + 1 == two[0]]
    if not touching:
        return []
    low = np.array([[one[2], two[2]] for one, two in touching])
    high = np.array([[one[3], two[3]] for one, two in touching])
    known = ~np.isnan(low)
    jumps = may_jump(np.fmin.reduce(low, axis=1), np.fmax.reduce(high, axis=1))
    jumps |= known[:, 0] != known[:, 1]
    return [two[0] for (_, two), jump in zip(touching, jumps, strict=True) if jump]
