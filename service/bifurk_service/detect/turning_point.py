"""``turning_point``: a smooth, slow fall or rise from a statistic's running extremum.

A reversal that takes longer than a reference window never misses its own extrapolation, so
``regime_shift`` cannot see it; the running extremum does not move along. It is one of the series'
level, a running median, so that a wild value is none. A series that merely goes on as it began has
not turned: there, and after a first turn, it takes a larger change to be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.history import History
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import (
    GAUSSIAN_MAD,
    SECOND_DIFFERENCE_SD,
    Array,
    Mask,
)
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic

DIRECTIONS: Final = ("fall", "rise")
LAGS: Final = (1, 10)
"""Distances, in values, of the second differences that tell the noise; what correlates hides from
the first, and a smooth course's own bend is small even over the second."""
LEVEL_OF: Final = 5
"""Values whose median is the level of a series: two wild ones do not move it."""
PLATEAU: Final = 10
"""A series whose extremum lies this many values after it settled did not begin by leaving it."""
SIGNS: Final = np.array([-1.0, 1.0])
"""Of a change in either direction; a fall counts from the maximum, a rise from the minimum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurningPointParameters:
    """Windows, in snapshots, and thresholds.

    Attributes:
        settle: values of a series left aside before its extremum counts.
        least_change: of the logarithm (of the value, for statistics that have none).
        noise: least change in standard deviations of the noise around the course.
        larger: times as much is needed where a series goes on as it began, and for each turn after
            the first.
        held: snapshots running for which both must hold.
        noise_window: values the noise is estimated from.
    """

    settle: int = 30
    least_change: float = 0.05
    noise: float = 8.0
    larger: float = 2.0
    held: int = 6
    noise_window: int = 60


class TurningPoint:
    """Fires once for each reversal: after a fall, the next to be told is a rise.

    Both extrema then begin anew at the level reached.
    """

    kind: ClassVar[str] = "turning_point"
    version: ClassVar[int] = 3

    def __init__(
        self, statistic: Statistic, *, parameters: TurningPointParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or TurningPointParameters()
        self._history = History(self._parameters.noise_window + 2)
        self._seam = Seam(restarts_at_interval=False)
        self._memory = Memory(
            seen=0,
            turns=0,
            origin=0.0,
            extremum=np.zeros(2),
            extremum_seen=np.zeros(2, dtype=np.int64),
            step_before=np.zeros(2),
            step_after=np.zeros(2),
            running=np.zeros(2, dtype=np.int64),
            armed=np.ones(2, dtype=np.bool_),
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a logarithmic statistic has no value where it is not positive."""
        course, known = on_course(self._statistic, values, valid)
        if self._seam.passed(clock):
            self._history.forget(np.ones(len(self._history.counts), dtype=np.bool_))
            self._memory.forget()
        self._history.grow(len(values))
        self._memory.grow(len(values))
        self._history.push(clock.step, course, known)
        self._memory["seen"] += known
        level = self._level()
        self._follow_extrema(known, level)
        return self._judge(known, level)

    def snapshot(self) -> State:
        """See ``Detector``."""
        return {**self._history.snapshot(), **self._seam.snapshot(), **self._memory.snapshot()}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._seam.restore(state)
        self._memory.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _level(self) -> Array:
        """Of every series now, [S]."""
        newest = slice(-LEVEL_OF, None)
        return masked_median(self._history.values[:, newest], self._history.known[:, newest])

    def _follow_extrema(self, known: Mask, level: Array) -> None:
        memory, settle = self._memory, self._parameters.settle
        beyond = (level[:, None] - memory["extremum"]) * SIGNS < 0
        settled = (known & (memory["seen"] > settle))[:, None]
        first = known & (memory["seen"] == settle + 1)
        memory["origin"] = np.where(first, level, memory["origin"])
        self._set_extrema(settled & (beyond | first[:, None]), level)

    def _set_extrema(self, chosen: Mask, level: Array) -> None:
        memory, steps = self._memory, self._history.steps
        for name, new in (
            ("extremum", level[:, None]),
            ("extremum_seen", memory["seen"][:, None]),
            ("step_before", steps[:, -LEVEL_OF, None]),
            ("step_after", steps[:, -1:]),
            ("running", np.zeros((1, 1), dtype=np.int64)),
        ):
            memory[name] = np.where(chosen, new, memory[name])

    def _judge(self, known: Mask, level: Array) -> list[Detection]:
        memory, parameters = self._memory, self._parameters
        change = (level[:, None] - memory["extremum"]) * SIGNS
        needed = self._needed(change)
        far = (memory["seen"][:, None] > parameters.settle) & (change > needed)
        current = known[:, None]
        memory["running"] = np.where(current, (memory["running"] + 1) * far, memory["running"])
        fired = current & memory["armed"] & (memory["running"] >= parameters.held)
        score = change / needed
        detections = [
            self._detection(int(series), int(side), level[series], score[series, side])
            for series, side in zip(*np.nonzero(fired), strict=True)
        ]
        turned = fired.any(axis=1)[:, None] & np.ones_like(fired)
        memory["armed"] = np.where(turned, ~fired, memory["armed"])
        memory["turns"] += fired.any(axis=1)
        self._set_extrema(turned, level)
        return detections

    def _needed(self, change: Array) -> Array:
        """The least change to be told, for a fall and for a rise, [S, 2].

        Infinite where the change itself, [S, 2], is too small whatever the noise.
        """
        least = self._parameters.least_change * min(self._parameters.larger, 1.0)
        rows = np.flatnonzero((change > least).any(axis=1))
        needed = np.full(change.shape, np.inf)
        if len(rows):
            needed[rows] = self._needed_by(rows)
        return needed

    def _needed_by(self, rows: NDArray[np.intp]) -> Array:
        memory, parameters = self._memory, self._parameters
        noise = parameters.noise * np.maximum(*(self._noise(rows, lag) for lag in LAGS))
        # Of a fall, the rise from where it settled to the maximum; of a rise, the reverse.
        went_before = (memory["origin"][rows, None] - memory["extremum"][rows]) * SIGNS
        trend = np.maximum(noise, parameters.least_change / parameters.larger)[:, None]
        stayed = memory["extremum_seen"][rows] - parameters.settle > PLATEAU
        reverses = (memory["turns"][rows] == 0)[:, None] & ((went_before >= trend) | stayed)
        least = np.maximum(parameters.least_change, noise)[:, None]
        needed: Array = least * np.where(reverses, 1.0, parameters.larger)
        return needed

    def _noise(self, rows: NDArray[np.intp], lag: int) -> Array:
        """Standard deviation around the course by second differences; 0 for too few values."""
        known, values = self._history.known_in(rows), self._history.values[rows]
        second = np.abs(values[:, 2 * lag :] - 2 * values[:, lag:-lag] + values[:, : -2 * lag])
        noise: Array = (
            GAUSSIAN_MAD * masked_median(second, known[:, : -2 * lag]) / SECOND_DIFFERENCE_SD
        )
        return noise

    def _detection(self, series: int, side: int, level: float, score: float) -> Detection:
        memory = self._memory
        return Detection(
            series=series,
            onset_first_step=int(memory["step_before"][series, side]),
            onset_last_step=int(memory["step_after"][series, side]),
            before=own_units(self._statistic, float(memory["extremum"][series, side])),
            after=own_units(self._statistic, float(level)),
            score=float(score),
            details={"direction": DIRECTIONS[side]},
        )
