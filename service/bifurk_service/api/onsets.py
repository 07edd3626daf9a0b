"""From where on courses of long runs stay apart: from the end backwards, over what is condensed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.api.course_pairs import Compared, CoursePair
from bifurk_service.stats.parting import LEVELS, Parted
from bifurk_service.stats.parting_search import Onset, OnsetSearch, Point, are_apart, points_of
from bifurk_service.store.condensed_rows import LEVELS as CONDENSED
from bifurk_service.store.step_bins import CLOSER, HOLE, StepBins

TOGETHER: Final = 8
"""Bins that are looked into together where one of them does not decide: a look costs more."""

MOST_BINS: Final = 64
"""So many are looked into at once; fewer first, for few may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onsets:
    """By tensor, the statistics that have parted; ``is_exact`` whether all of it was decided."""

    parted: Mapping[int, Sequence[Parted]]
    is_exact: bool


def onsets(pair: CoursePair, first: int, tail: Compared, which: Sequence[int]) -> Onsets:
    """Which statistics have parted, as ``compare_courses`` would tell them.

    Args:
        first: the first common step. tail: the last ones and all values there, newest first.
        which: of the tensors.
    """
    found: dict[int, list[Parted]] = {}
    is_exact = True
    for column, statistic in enumerate(LEVELS):
        searches = _Searches(pair, statistic, first)
        searches.begin(tail, column, which)
        for tensor, parted in searches.parted(int(tail.steps[-1]) - 1).items():
            found.setdefault(tensor, []).append(parted)
            is_exact &= parted.exact
        is_exact &= not searches.has_given_up
    return Onsets(parted=found, is_exact=is_exact)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """Stretches, one after the other, that the same tensors are to be looked at in."""

    tensors: Sequence[int] = ()
    start: int = 0
    stop: int = -1
    bins: int = 0


class _Searches:
    """One statistic's, of some tensors; some are given up where the budget ends."""

    def __init__(self, pair: CoursePair, statistic: str, first: int) -> None:
        self._pair = pair
        self._statistic = statistic
        self._first = first
        self._of: dict[int, OnsetSearch] = {}
        self.has_given_up = False

    def begin(self, tail: Compared, column: int, which: Sequence[int]) -> None:
        for tensor in which:
            self._of[tensor] = OnsetSearch()
            self._see(
                tensor, tail.steps, tail.this[tensor, :, column], tail.other[tensor, :, column]
            )

    def parted(self, last: int) -> dict[int, Parted]:
        """Looks as far back as it takes, from a step on."""
        self._look(CONDENSED[-1], self._first, last, list(self._of))
        undecided = [search for search in self._of.values() if search.is_open]
        self.has_given_up = bool(undecided) and self._pair.budget.is_spent
        for search in undecided:
            if self.has_given_up:
                search.give_up()
            else:
                search.reach_begin(self._first)
        return {
            tensor: self._at(tensor, search.onset)
            for tensor, search in self._of.items()
            if search.onset is not None
        }

    def _look(self, level: int, first: int, last: int, which: Sequence[int]) -> None:
        which = self._open(which)
        if not which or first > last or self._pair.budget.is_spent:
            return
        if not level:
            self._look_singly(first, last, which)
            return
        this, other = self._pair.bins(level, self._statistic, first, last, which)
        undecided, proven = _decided(self._statistic, this, other)
        if level == CONDENSED[0]:
            undecided = _together(undecided)
            proven &= ~undecided
        end, pending, most = last, _Pending(), 1
        for place in range(len(this.starts) - 1, -1, -1):
            start, stop = int(this.starts[place]), int(this.stops[place])
            chosen = [which[row] for row in np.flatnonzero(undecided[:, place])]
            is_full = bool(chosen) and pending.bins >= most
            if pending.tensors != chosen or stop < end or is_full:
                most = min(2 * most, MOST_BINS) if is_full else most
                self._look(CLOSER[level], pending.start, pending.stop, pending.tensors)
                self._look(HOLE[level], stop + 1, end, which)
                pending = _Pending(tensors=chosen, start=start, stop=stop)
            pending = replace(pending, start=start, bins=pending.bins + 1)
            apart = [which[row] for row in np.flatnonzero(proven[:, place])]
            self._look(CLOSER[level], start, stop, self._not_skipped(apart, start))
            end = start - 1
        self._look(CLOSER[level], pending.start, pending.stop, pending.tensors)
        self._look(HOLE[level], first, end, which)

    def _not_skipped(self, which: Sequence[int], start: int) -> list[int]:
        """Of tensors that are apart in a stretch those for which it has to be looked at."""
        if self._pair.budget.is_spent:
            return []
        left = []
        for tensor in which:
            search = self._of[tensor]
            if not search.is_open:
                continue
            if search.may_skip:
                search.skip(start)
            else:
                left.append(tensor)
        return left

    def _look_singly(self, first: int, last: int, which: list[int]) -> None:
        for some in self._pair.walk(first, last, (self._statistic,), which, newest=True):
            for row, tensor in enumerate(which):
                self._see(tensor, some.steps, some.this[row, :, 0], some.other[row, :, 0])
            if not self._open(which):
                return

    def _see(
        self,
        tensor: int,
        steps: NDArray[np.int64],
        this: NDArray[np.float64],
        other: NDArray[np.float64],
    ) -> None:
        search = self._of[tensor]
        for point in points_of(self._statistic, steps, this, other):
            if not search.is_open:
                return
            search.see(point)

    def _open(self, which: Sequence[int]) -> list[int]:
        return [tensor for tensor in which if self._of[tensor].is_open]

    def _at(self, tensor: int, onset: Onset) -> Parted:
        point = onset.nearest if onset.is_it else self._next_known(tensor, onset)
        return Parted(
            statistic=self._statistic,
            step=(point or onset.nearest).step,
            this=(point or onset.nearest).this,
            other=(point or onset.nearest).other,
            exact=onset.exact and point is not None,
        )

    def _next_known(self, tensor: int, onset: Onset) -> Point | None:
        """The onset, in a stretch that was passed over; None where the budget does not reach it."""
        walk = self._pair.walk(onset.since, onset.nearest.step, (self._statistic,), [tensor])
        for some in walk:
            points = points_of(self._statistic, some.steps, some.this[0, :, 0], some.other[0, :, 0])
            found = next(points, None)
            if found is not None:
                return found
        return None


def _decided(
    statistic: str, this: StepBins, other: StepBins
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of T tensors in N bins of this, [T, N]: which are to be looked into; which are all apart.

    Neither are those in which one side has no value.
    """
    theirs = np.full(this.values.shape, np.nan)
    known = np.zeros(len(this.starts), dtype=np.bool_)
    for place, (start, stop) in enumerate(zip(this.starts, this.stops, strict=True)):
        found = other.over(int(start), int(stop))
        if found is not None:
            known[place], theirs[..., place] = True, found
    empty = np.isnan(this.values[0]) | (np.isnan(theirs[0]) & known)
    apart = are_apart(statistic, this.values, theirs) & ~empty
    return ~apart & ~empty, apart


def _together(undecided: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any of so many bins is, for each of them, [T, N]."""
    starts = np.arange(0, undecided.shape[1], TOGETHER)
    if not starts.size:
        return undecided
    groups = np.logical_or.reduceat(undecided, starts, axis=1)
    return np.repeat(groups, TOGETHER, axis=1)[:, : undecided.shape[1]]
