"""A band of good runs, and where another run leaves it. The definition is ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_RUNS: Final = 2
"""Good runs that a band needs at a step: one has no width."""
LEAST_TO_TELL: Final = 3
"""Good runs that a verdict needs: of two, half a band is chance."""
BY_CHANCE: Final = {3: 0.2, 4: 0.1, 5: 0.05, 8: 0.01}
"""By good runs, the share of courses of a further run just like them that leave: drifting courses
of one law, simulated; four healthy trainings held against one another gave 0.19 with three."""
HOLD: Final = 5
"""Snapshots in a row beyond the band, by more than it is wide, until a run has left it."""
LEAST_WIDTH: Final = 0.01
"""Of the median's magnitude: good runs that are equal (a gain that starts at 1) have no width, and
a difference of 1 % is nothing that anybody looks for."""
AT_ONCE: Final = 16
"""Values that are looked at first for one that counts."""
ONCE: Final[Mapping[int, float]] = {LEAST_RUNS: 1.0}
"""Beyond the extremes by as much as the band is wide, however many good runs there are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunCourse:
    """A statistic of one run: ascending steps int64 [N], values float64 [N], NaN without one."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """The envelope of good runs, all float64 [N] over ``steps`` int64 [N], NaN where there is none.

    Attributes:
        middle: median across runs. low, high: the extremes.
        least, most: beyond them by as much as the band has been wide up to there, at the most, or
            a multiple of that: where a run may still be.
        widest: how wide it has been so far; of logarithms where it is made of them.
        runs: int64 [N], how many good ones have a value.
    """

    steps: NDArray[np.int64]
    middle: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    widest: NDArray[np.float64]
    runs: NDArray[np.int64]

    def at(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Band:
        """The same at some of its places."""
        return Band(**{name: getattr(self, name)[places] for name in _BAND})

    def followed_by(self, later: Band) -> Band:
        """Both as one."""
        both = ((name, getattr(self, name), getattr(later, name)) for name in _BAND)
        return Band(**{name: np.concatenate((own, its)) for name, own, its in both})


_BAND: Final = tuple(field.name for field in fields(Band))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A run has left a band.

    Attributes:
        step: the first of ``HOLD`` snapshots in a row that are too far out on one side.
        is_above: which side. value, low, high: of the run and of the band, at that step.
        back: the first step after it of ``HOLD`` in a row that are not too far out; None where it
            stays out.
    """

    step: int
    is_above: bool
    value: float
    low: float
    high: float
    back: int | None


def band_of(
    steps: NDArray[np.int64],
    good: Sequence[RunCourse],
    *,
    log_scale: bool,
    margins: Mapping[int, float] = ONCE,
    widest: float = math.nan,
) -> Band:
    """The band at some steps; between a good run's snapshots its course is a straight line.

    With ``log_scale`` everything is done on logarithms, and values that are not positive count as
    none: a band is then as wide as a factor. The width is the largest range across runs at any step
    so far, at least ``LEAST_WIDTH``: where few courses cross, the range at one step is nothing, and
    a healthy run would be out of it (`docs/page.md` has the numbers).

    Args:
        steps: int64 [N], ascending. good: courses of good runs. log_scale: see above.
        margins: by number of good runs with a value at a step, ascending, how many widths a run
            may be beyond them; between the numbers a straight line.
        widest: see ``Band``, at the step before these; NaN where nothing is before them.
    """
    placed = np.array([_at(steps, one, log_scale=log_scale) for one in good])
    placed = placed.reshape(len(good), len(steps))
    runs = np.isfinite(placed).sum(axis=0)
    enough = runs >= LEAST_RUNS
    low, middle, high = (np.full(len(steps), np.nan) for _ in range(3))
    if enough.any():
        some = placed[:, enough]
        low[enough], high[enough] = np.nanmin(some, axis=0), np.nanmax(some, axis=0)
        middle[enough] = np.nanmedian(some, axis=0)
    least_width = LEAST_WIDTH * (1.0 if log_scale else np.abs(middle))
    widest_here = np.fmax.accumulate(np.append(widest, high - low))[1:]
    room = np.fmax(widest_here, least_width) * np.interp(
        runs, list(margins), list(margins.values())
    )
    lines = [low - room, low, middle, high, high + room]
    if log_scale:
        with np.errstate(over="ignore"):
            lines = [np.exp(line) for line in lines]
    least, low, middle, high, most = lines
    return Band(
        steps=steps,
        middle=middle,
        low=low,
        high=high,
        least=least,
        most=most,
        widest=widest_here,
        runs=runs,
    )


def leaving(band: Band, values: NDArray[np.float64]) -> Leaving | None:
    """Where a run leaves a band; None where it does not, or too little of either is known.

    Args:
        values: of the run at the band's steps, float64 [N]. Steps at which it has none, or fewer
            than ``LEAST_TO_TELL`` good runs have one, are passed over.
    """
    known = np.flatnonzero(np.isfinite(values) & (band.runs >= LEAST_TO_TELL))
    shown = values[known]
    above, below = shown > band.most[known], shown < band.least[known]
    starts = [(found, side) for side in (above, below) if (found := _first_run(side)) is not None]
    if not starts:
        return None
    start, side = min(starts, key=lambda one: one[0])
    back = _first_run(~(above | below)[start:])
    at = known[start]
    return Leaving(
        step=int(band.steps[at]),
        is_above=side is above,
        value=float(values[at]),
        low=float(band.low[at]),
        high=float(band.high[at]),
        back=None if back is None else int(band.steps[known[start + back]]),
    )


def at_steps(steps: NDArray[np.int64], course: RunCourse) -> NDArray[np.float64]:
    """A course's own values at some steps, float64 [N], NaN where it has none."""
    values = np.full(len(steps), np.nan)
    _, here, there = np.intersect1d(steps, course.steps, assume_unique=True, return_indices=True)
    values[here] = course.values[there]
    return values


def around(course: RunCourse, first: int, last: int, *, log_scale: bool) -> RunCourse:
    """The part of a course that its line between two steps, both included, hangs on."""
    begin = int(np.searchsorted(course.steps, first, side="right"))
    end = int(np.searchsorted(course.steps, last))
    known = _known(course.values[:begin], log_scale=log_scale, newest=True)
    behind = _known(course.values[end:], log_scale=log_scale)
    part = slice(begin if known is None else known, None if behind is None else end + behind + 1)
    return RunCourse(steps=course.steps[part], values=course.values[part])


def last_known(course: RunCourse, *, log_scale: bool) -> int | None:
    """The last step at which a course has a value that counts."""
    place = _known(course.values, log_scale=log_scale, newest=True)
    return None if place is None else int(course.steps[place])


def _known(values: NDArray[np.float64], *, log_scale: bool, newest: bool = False) -> int | None:
    """The place of the first value that counts, or of the last; not far beyond it is read."""
    size, done = AT_ONCE, 0
    while done < len(values):
        stop = min(done + size, len(values))
        part = slice(len(values) - stop, len(values) - done) if newest else slice(done, stop)
        found = np.flatnonzero(_counts(values[part], log_scale=log_scale))
        if found.size:
            return int(part.start + found[-1 if newest else 0])
        size, done = 2 * size, stop
    return None


def _counts(values: NDArray[np.float64], *, log_scale: bool) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values > 0) if log_scale else np.isfinite(values)


def _at(steps: NDArray[np.int64], course: RunCourse, *, log_scale: bool) -> NDArray[np.float64]:
    values = course.values
    if log_scale:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(steps), np.nan)
    return np.interp(steps, course.steps[known], values[known], left=np.nan, right=np.nan)


def _first_run(flags: NDArray[np.bool_]) -> int | None:
    """Where the first ``HOLD`` flags in a row begin that are set."""
    if len(flags) < HOLD:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(flags, HOLD)
    found = np.flatnonzero(windows.all(axis=1))
    return int(found[0]) if found.size else None
