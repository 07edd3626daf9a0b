"""``variance_burst``: the noise of a series grows, whatever its course.

A robust Holt filter follows the course; the logarithms of the sizes of its innovations, from a
little above their median to a bound, are held against those of the past by a CUSUM (Page 1954).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.history import History, shift_in
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import Array, Mask
from bifurk_service.detect.robust_holt import RobustHolt
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Nature, Statistic

FROM: Final = 0.5
"""Logarithms count from this far above their median on: what noise three times as wide changes
most, in units of its own spread, is how many innovations are large."""
ABOVE: Final = 2.3
"""And up to this far above it: a single one, however wild, is one and no more."""
LEAST_SPREAD: Final = 0.2
"""Of logarithms so bounded; a Gaussian's have 0.20, Student's with 3 degrees of freedom 0.33."""
SMALLEST_SIZE: Final = 1e-290
GAUSSIAN_MEDIAN: Final = 0.6745
"""Median size of a unit Gaussian."""
LEAST_REFERENCE: Final = 40
SHORT_WIDENING: Final = 0.6
"""By how much the threshold is wider for a reference of nothing than for a full one."""
LARGEST_REPEATS: Final = 0.2
"""Above this share of exact repeats the number format's grid is seen, and no noise."""
HOLT: Final = "holt_"
"""Before the names of the filter's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceBurstParameters:
    """Windows, in values, and thresholds.

    Attributes:
        reference: innovations that the newest are held against, at most.
        recent: the newest, which do not belong to them.
        allowance: what the mean must exceed the reference's by to count, in its standard
            deviations.
        threshold: of the sum of what exceeds that, at a full reference; wider for a shorter one.
        smoothing: of the level of a stationary statistic.
        walk_smoothing: of one that sums up updates, whose level goes wherever its values go.
    """

    reference: int = 100
    recent: int = 18
    allowance: float = 0.78
    threshold: float = 24.5
    smoothing: float = 0.4
    walk_smoothing: float = 0.6


class VarianceBurst:
    """Fires once when the noise grows; its past then begins anew.

    Only growth is told. One large innovation, or the few of a jump, do not suffice: each adds at
    most ``ABOVE``, and a filter that is off twice on the same side moves to the new level.
    """

    kind: ClassVar[str] = "variance_burst"
    version: ClassVar[int] = 2

    def __init__(
        self, statistic: Statistic, *, parameters: VarianceBurstParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or VarianceBurstParameters()
        length = self._parameters.reference + self._parameters.recent
        self._history = History(length)
        stationary = statistic.nature is Nature.STATIONARY
        chosen = self._parameters
        self._holt = RobustHolt(chosen.smoothing if stationary else chosen.walk_smoothing)
        self._memory = Memory(
            sizes=np.zeros(length), sum=0.0, running=0, step_before=0.0, step_half=0.0
        )
        self._seam = Seam(restarts_at_interval=stationary)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a logarithmic statistic has no value where it is not positive."""
        course, known = on_course(self._statistic, values, valid)
        if self._seam.passed(clock):
            self._history.forget(np.ones(len(self._history.counts), dtype=np.bool_))
            self._memory.forget()
            self._holt.memory.forget()
        for memory in (self._history, self._memory, self._holt.memory):
            memory.grow(len(values))
        off, believed, anew = self._holt.innovations(course, known)
        self._restart(anew)
        sizes = np.log(np.maximum(np.abs(off), SMALLEST_SIZE))
        fired, limit = self._sum_up(clock, sizes, believed)
        self._remember(clock.step, course, sizes, believed)
        found = [self._detection(int(series), limit[series]) for series in np.flatnonzero(fired)]
        self._restart(fired)
        return found

    def snapshot(self) -> State:
        """See ``Detector``."""
        holt = {HOLT + name: array for name, array in self._holt.memory.snapshot().items()}
        own = {**self._history.snapshot(), **self._memory.snapshot(), **self._seam.snapshot()}
        return {**own, **holt}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._memory.restore(state)
        self._seam.restore(state)
        self._holt.memory.restore(
            {name.removeprefix(HOLT): one for name, one in state.items() if name.startswith(HOLT)}
        )

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _restart(self, chosen: Mask) -> None:
        if not chosen.any():
            return
        self._history.forget(chosen)
        for name in ("sum", "running", "step_before", "step_half"):
            self._memory[name] = np.where(chosen, 0, self._memory[name])

    def _sum_up(self, clock: Clock, sizes: Array, believed: Mask) -> tuple[Mask, Array]:
        """Takes the newest sizes into the CUSUM; which series fire, and what their limit is."""
        memory, parameters = self._memory, self._parameters
        count = np.maximum(self._history.counts - parameters.recent, 0)
        judged = believed & (count >= LEAST_REFERENCE)
        judged &= self._holt.memory["repeats"] < LARGEST_REPEATS
        excess = self._excess(sizes, judged) - parameters.allowance
        sums = np.where(judged, np.maximum(memory["sum"] + excess, 0.0), memory["sum"])
        filled = count / parameters.reference
        limit = parameters.threshold * (1 + SHORT_WIDENING * (1 - filled))
        passed = judged & (memory["sum"] < limit / 2) & (sums >= limit / 2)
        memory["step_half"] = np.where(passed, clock.step, memory["step_half"])
        begins = judged & (sums == 0)
        memory["running"] = np.where(begins, 0, memory["running"] + judged)
        memory["step_before"] = np.where(
            begins | (judged & (memory["step_before"] == 0)), clock.step, memory["step_before"]
        )
        memory["sum"] = sums
        return judged & (sums >= limit), limit

    def _excess(self, sizes: Array, judged: Mask) -> Array:
        """How far sizes [S] lie above the reference's mean, in its standard deviations.

        0, which is no excess, where they are not judged, and where a sum of nothing stays so: at
        a size that is pulled up to ``FROM`` above the median, which the mean is at least.
        """
        rows = np.flatnonzero(judged)
        known = self._history.known_in(rows)[:, : self._parameters.reference]
        past = self._memory["sizes"][rows, : self._parameters.reference]
        smaller = ((past < sizes[rows, None] - FROM) & known).sum(axis=1)
        small = smaller <= (known.sum(axis=1) - 1) // 2
        left = np.flatnonzero(~small | (self._memory["sum"][rows] > 0))
        excess = np.zeros(len(sizes))
        excess[rows[left]] = self._excess_over(past[left], known[left], sizes[rows[left]])
        return excess

    @staticmethod
    def _excess_over(past: Array, known: Mask, sizes: Array) -> Array:
        middle = masked_median(past, known)
        pulled = np.clip(past - middle[:, None], FROM, ABOVE) * known
        count = np.maximum(known.sum(axis=1), 2)
        mean = pulled.sum(axis=1) / count
        variance = (np.einsum("sn,sn->s", pulled, pulled) - count * mean**2) / (count - 1)
        spread = np.maximum(np.sqrt(np.maximum(variance, 0.0)), LEAST_SPREAD)
        excess: Array = (np.clip(sizes - middle, FROM, ABOVE) - mean) / spread
        return excess

    def _remember(self, step: int, course: Array, sizes: Array, believed: Mask) -> None:
        self._history.push(step, course, believed)
        shift_in(believed, (self._memory["sizes"], sizes))

    def _detection(self, series: int, limit: float) -> Detection:
        memory, history = self._memory, self._history
        count = int(history.counts[series])
        since = min(int(memory["running"][series]), count - LEAST_REFERENCE)
        sizes, values = memory["sizes"][series], history.values[series]
        past = slice(history.length - count, -since)
        noise_before = np.exp(np.median(sizes[past])) / GAUSSIAN_MEDIAN
        noise_after = np.exp(np.median(sizes[-since:])) / GAUSSIAN_MEDIAN
        return Detection(
            series=series,
            onset_first_step=int(memory["step_before"][series]),
            onset_last_step=int(memory["step_half"][series]),
            before=own_units(self._statistic, float(np.median(values[past]))),
            after=own_units(self._statistic, float(np.median(values[-since:]))),
            score=float(memory["sum"][series] / limit),
            details={
                "ratio": float(noise_after / noise_before),
                "noise_before": float(noise_before),
                "noise_after": float(noise_after),
                "snapshots_since_onset": since,
            },
        )
