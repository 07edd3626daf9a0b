"""A change that is abrupt, or large within a few snapshots: what several kinds are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.history import History
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.regime_shift import RegimeShift, RegimeShiftParameters
from bifurk_service.detect.robust_fit import Array, Mask
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic

NEWEST: Final = 3
"""Values whose median is where the series is now."""
OLDEST: Final = 6
"""Values, at most, whose median is where it was."""
LEAST_PAST: Final = 3
"""Values of the past that are looked at however long ago they were: spectra may come rarely."""
SHIFT: Final = "shift_"
"""Before the names of the abrupt rule's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastChangeLimits:
    """What is large, on the scale detectors work on.

    Attributes:
        within: snapshots a large change may take. large: its least size.
        abrupt: least size of an abrupt one. threshold: of ``regime_shift``.
        quiet: values after a change was told in which no other is.
        settle: snapshots after a series began in which none is.
        falls_only: whether rises are no matter.
    """

    within: int
    large: float
    abrupt: float
    threshold: float
    quiet: int
    falls_only: bool
    settle: int = 0


class FastChange:
    """Tells a change once, by whichever rule sees it first; the past then begins anew.

    Abrupt is what ``regime_shift`` says; large is the distance between the median of the newest
    values and that of the oldest within reach.
    """

    def __init__(self, statistic: Statistic, limits: FastChangeLimits) -> None:
        self._statistic = statistic
        self._limits = limits
        length = limits.within + NEWEST
        self._history = History(length)
        self._memory = Memory(sequences=np.zeros(length), since_told=limits.quiet, began=-1)
        self._seam = Seam(restarts_at_interval=False)
        self._shift = RegimeShift(
            statistic,
            parameters=RegimeShiftParameters(
                threshold=limits.threshold, least_change=limits.abrupt
            ),
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a logarithmic statistic has no value where it is not positive."""
        course, known = on_course(self._statistic, values, valid)
        self._take(clock, course, known)
        found = {one.series: one for one in self._large(clock, np.flatnonzero(known))}
        for one in self._shift.update(clock, values, valid):
            if one.after < one.before or not self._limits.falls_only:
                with_rule = replace(one, details={**one.details, "rule": "abrupt"})
                found.setdefault(one.series, with_rule)
        quiet = self._memory["since_told"] < self._limits.quiet
        quiet |= clock.sequence - self._memory["began"] < self._limits.settle
        told = [one for series, one in sorted(found.items()) if not quiet[series]]
        self._begin_anew([one.series for one in told])
        return told

    def snapshot(self) -> State:
        """See ``Detector``."""
        shift = {SHIFT + name: array for name, array in self._shift.snapshot().items()}
        own = {**self._history.snapshot(), **self._memory.snapshot(), **self._seam.snapshot()}
        return {**own, **shift}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._memory.restore(state)
        self._seam.restore(state)
        self._shift.restore(
            {name.removeprefix(SHIFT): one for name, one in state.items() if name.startswith(SHIFT)}
        )

    def _take(self, clock: Clock, course: Array, known: Mask) -> None:
        history, memory = self._history, self._memory
        if self._seam.passed(clock):
            history.forget(np.ones(len(history.counts), dtype=np.bool_))
            memory.forget()
        history.grow(len(course))
        memory.grow(len(course))
        history.push(clock.step, course, known)
        moved = np.concatenate(
            [memory["sequences"][:, 1:], np.full((len(course), 1), clock.sequence)], axis=1
        )
        memory["sequences"] = np.where(known[:, None], moved, memory["sequences"])
        memory["since_told"] += known
        memory["began"] = np.where(known & (memory["began"] < 0), clock.sequence, memory["began"])

    def _large(self, clock: Clock, rows: NDArray[np.intp]) -> list[Detection]:
        history = self._history
        rows = rows[history.counts[rows] >= NEWEST + LEAST_PAST]
        rows = rows[np.ptp(history.values[rows], axis=1) >= self._limits.large]
        values, past = history.values[rows], self._past(clock, rows)
        before = masked_median(values[:, :-NEWEST], past)
        after = np.median(values[:, -NEWEST:], axis=1)
        change = before - after if self._limits.falls_only else np.abs(before - after)
        score = change / self._limits.large
        return [
            self._detection(int(rows[place]), before[place], after[place], score[place])
            for place in np.flatnonzero(score >= 1)
        ]

    def _past(self, clock: Clock, rows: NDArray[np.intp]) -> Mask:
        """The oldest values within reach, bool [R, within]."""
        ago = clock.sequence - self._memory["sequences"][rows, :-NEWEST]
        near = ago < self._limits.within + NEWEST
        near[:, -LEAST_PAST:] = True
        reached = self._history.known_in(rows)[:, :-NEWEST] & near
        oldest: Mask = reached & (np.cumsum(reached, axis=1) <= OLDEST)
        return oldest

    def _detection(self, series: int, before: float, after: float, score: float) -> Detection:
        steps, values = self._history.steps[series], self._history.values[series]
        known = self._history.known[series]
        # It began after the last value that was nearer to the past than to what is now.
        near = np.flatnonzero(known & (np.abs(values - before) < np.abs(values - after)))
        first = int(near[-1]) if near.size else int(np.argmax(known))
        last = min(first + 1, len(steps) - 1)
        return Detection(
            series=series,
            onset_first_step=int(steps[first]),
            onset_last_step=int(steps[last]),
            before=own_units(self._statistic, float(before)),
            after=own_units(self._statistic, float(after)),
            score=float(score),
            details={"rule": "large", "snapshots_since_onset": len(steps) - last},
        )

    def _begin_anew(self, series: list[int]) -> None:
        chosen = np.zeros(len(self._history.counts), dtype=np.bool_)
        chosen[series] = True
        self._history.forget(chosen, keep=NEWEST)
        self._memory["since_told"] = np.where(chosen, 0, self._memory["since_told"])
