"""``regime_shift``: a statistic leaves the course of its past, and stays away.

The newest values are held against a robust line and a robust parabola through the reference
window before them. A shift must stand out from both, against the larger of two standard errors:
that of noise around the course, inflated for its autocorrelation, and, for a statistic that sums
up updates, that of a random walk with the window's own increments. Beside that, the level of the
newest three values is held against that of the three before, in units of the series' own past
leaps: it needs no course, and so sees abrupt changes early in a training and in correlated noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.gradual_rate import GradualRate
from bifurk_service.detect.history import History
from bifurk_service.detect.leap import LEAP_SPAN, LEAST_VALUES, newest_leap
from bifurk_service.detect.least_change import least_change_of
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import Array, Mask, basis_of, miss
from bifurk_service.detect.seam import Seam
from bifurk_service.detect.shift_onset import onset_of
from bifurk_service.detect.shift_scores import ShiftTest, lesser
from bifurk_service.detect.shift_window import Batch, Window, batches_of, moved_enough, reach_of
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Nature, Statistic

STILL: Final = 6
"""A series that kept one value this long and then moves has no past to be held against."""
LEAST_CHANGE_OF_MISS: Final = 0.5
"""Of what a prediction misses, this much must be a change of the statistic itself."""
LEAPS: Final = 0
"""Stands for leaps where a scale is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeShiftParameters:
    """Windows, in snapshots, and thresholds.

    Attributes:
        reference: longest window of the past.
        scales: how many of the newest values are judged together, ascending. Each needs a past of
            three times its length, and one that finds none in the window, which is as long as
            ``reference`` and the last of them together, is never judged: of the defaults, 24. It
            makes the window longer all the same, by which a history that is shorter needs a leap
            2.5 % larger than without it. The shortest is left off once the next can be judged.
        threshold: in standard errors at a full reference window; wider for a shorter one.
        leap: in standard deviations of past leaps at a full history; wider for a shorter one.
        least_change: of the value, or of its logarithm where there is one; a lasting change below
            it is not worth telling. None takes the statistic's own from ``LEAST_CHANGE``.
    """

    reference: int = 60
    scales: tuple[int, ...] = (3, 6, 12, 24)
    threshold: float = 4.7
    leap: float = 9.25
    least_change: float | None = None


class RegimeShift:
    """Fires once when a series leaves its past; its past then begins anew at the onset."""

    kind: ClassVar[str] = "regime_shift"
    version: ClassVar[int] = 3

    def __init__(
        self, statistic: Statistic, *, parameters: RegimeShiftParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or RegimeShiftParameters()
        integrated = statistic.nature is not Nature.STATIONARY
        self._follows_rate = statistic.log_scale and not integrated
        length = self._parameters.reference + self._parameters.scales[-1]
        self._history = History(length)
        self._rates = History(length)
        self._reach = reach_of(self._parameters.scales, length)
        self._rate = GradualRate()
        self._memory = Memory(still=0)
        self._seam = Seam(restarts_at_interval=not integrated)
        least = self._parameters.least_change
        self._least_change = least_change_of(statistic) if least is None else least
        self._test = ShiftTest(
            statistic,
            reference=self._parameters.reference,
            longest=length,
            threshold=self._parameters.threshold,
            leap=self._parameters.leap,
            least_change=self._least_change,
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a logarithmic statistic has no value where it is not positive."""
        course, known = on_course(self._statistic, values, valid)
        self._take(clock, course, known)
        return self._judge(np.flatnonzero(known))

    def snapshot(self) -> State:
        """See ``Detector``."""
        rates = self._rates.snapshot() if self._follows_rate else {}
        return {
            **self._history.snapshot(),
            **self._seam.snapshot(),
            **self._memory.snapshot(),
            **self._rate.snapshot(),
            **{f"rate_{name}": array for name, array in rates.items()},
        }

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._seam.restore(state)
        self._memory.restore(state)
        self._rate.restore(state)
        if self._follows_rate:
            self._rates.restore({name: state[f"rate_{name}"] for name in self._rates.snapshot()})

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        scales = ",".join(str(scale) for scale in self._parameters.scales)
        return {
            **asdict(self._parameters),
            "scales": scales,
            "least_change": self._least_change,
            "nature": self._statistic.nature.value,
        }

    def _take(self, clock: Clock, values: Array, known: Mask) -> None:
        history, memory = self._history, self._memory
        if self._seam.passed(clock):
            self._forget(np.ones(len(history.counts), dtype=np.bool_))
            memory.forget()
        history.grow(len(values))
        memory.grow(len(values))
        same = known & (history.counts > 0) & (history.values[:, -1] == values)
        self._forget(known & ~same & (memory["still"] >= STILL))
        history.push(clock.step, values, known)
        still = np.where(same, memory["still"] + 1, 1)
        memory["still"] = np.where(known, still, memory["still"])
        rate = self._rate.take(clock)
        if self._follows_rate:
            self._rates.grow(len(values))
            self._rates.push(clock.step, np.full(len(values), rate), known)

    def _forget(self, chosen: Mask, *, keep: int = 0) -> None:
        if chosen.any():
            self._history.forget(chosen, keep=keep)
            if self._follows_rate:
                self._rates.forget(chosen[: len(self._rates.counts)], keep=keep)

    def _judge(self, rows: NDArray[np.intp]) -> list[Detection]:
        best: dict[int, tuple[float, int]] = {}
        rows = moved_enough(self._history, rows, reach=self._reach, least=self._least_change)
        for batch in batches_of(self._history, rows):
            for scale, due in self._due(batch):
                for row, score in self._scores(due, scale):
                    best[row] = max(best.get(row, (0.0, 0)), (score, scale))
        return [
            detection
            for row, (score, scale) in sorted(best.items())
            if (detection := self._detection(row, scale, score))
        ]

    def _due(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Every scale with the rows that are long enough for it; ``LEAPS`` stands for leaps."""
        counts, scales = self._history.counts[batch.rows], self._parameters.scales
        leap = newest_leap(self._history.values[batch.rows, -2 * LEAP_SPAN :])
        yield LEAPS, batch.only((counts >= LEAST_VALUES) & (np.abs(leap) >= self._least_change))
        yield scales[0], batch.only((counts >= 4 * scales[0]) & (counts < 4 * scales[1]))
        for scale in scales[1:]:
            yield scale, batch.only(counts >= 4 * scale)

    def _scores(self, batch: Batch, scale: int) -> list[tuple[int, float]]:
        """Rows that stand out at this scale, with how far over the threshold.

        What follows the learning rate must stand out from the rate's gradual course too.
        """
        passes = [False, True] if self._follows_rate else [False]
        scores = np.full(len(batch.rows), np.inf)
        for beside_rate in passes:
            if not len(batch.rows):
                break
            found = self._standing_out(batch, scale, beside_rate=beside_rate)
            scores = lesser(scores, found)
            agreed = scores != 0
            batch, scores = batch.only(agreed), scores[agreed]
        return list(zip(batch.rows.tolist(), np.abs(scores).tolist(), strict=True))

    def _standing_out(self, batch: Batch, scale: int, *, beside_rate: bool) -> Array:
        """In thresholds, signed; 0 where it does not, [S]."""
        window = self._window(batch, scale, beside_rate=beside_rate)
        counts = self._history.counts[batch.rows]
        if scale == LEAPS:
            return self._test.of_leap(window, counts)
        return self._test.of_miss(window, counts, scale)

    def _window(self, batch: Batch, scale: int, *, beside_rate: bool = False) -> Window:
        history = self._history
        first = history.length - self._parameters.reference - scale
        rows = batch.rows[:1] if batch.shared else batch.rows
        values = history.values[batch.rows, first:]
        if beside_rate:
            values = values - self._rates.values[batch.rows, first:]
        missing = history.length - history.counts[rows]
        return Window(
            times=history.steps[rows, first:].astype(np.float64),
            values=values,
            known=np.arange(first, history.length) >= missing[:, None],
        )

    def _detection(self, row: int, scale: int, score: float) -> Detection | None:
        steps, values = self._history.steps[row].copy(), self._history.values[row].copy()
        leap = scale == LEAPS
        scale = LEAP_SPAN if leap else scale
        course, residuals, missed = self._course(row, scale, leap=leap)
        earliest, best, latest = onset_of(course, scale=scale, residuals=residuals)
        before = np.median(values[-earliest - scale : -earliest])
        after = np.median(values[-best:])
        if not self._is_lasting(float(after - before), missed):
            return None
        chosen = np.zeros(len(self._history.counts), dtype=np.bool_)
        chosen[row] = True
        self._forget(chosen, keep=best)
        return Detection(
            series=row,
            onset_first_step=int(steps[-earliest - 1]),
            onset_last_step=int(steps[-latest]),
            before=own_units(self._statistic, float(before)),
            after=own_units(self._statistic, float(after)),
            score=score,
            details={"scale": scale, "leap": leap, "snapshots_since_onset": best},
        )

    def _course(self, row: int, scale: int, *, leap: bool) -> tuple[Array, Array, float]:
        """How the newest 2 ``scale`` values lie to the course before, its residuals, the miss."""
        window = self._window(Batch(rows=np.array([row]), shared=True), scale)
        values, reference = window.values[0], self._parameters.reference
        if leap:
            before = np.median(values[-2 * scale : -scale])
            past = values[window.known[0]][:-scale]
            around = np.concatenate([np.zeros(1), np.diff(past)]) / np.sqrt(2)
            return values[-2 * scale :] - before, around, float(np.median(values[-scale:]) - before)
        basis = basis_of(window.times, window.known, reference=reference, degree=1)
        found = miss(basis, window.values)
        course = np.concatenate([found.residuals[0, -scale:], found.after[0]])
        return course, found.residuals[0], float(np.median(found.after[0]))

    def _is_lasting(self, change: float, missed: float) -> bool:
        # A course that merely bends misses its extrapolation without going anywhere itself.
        if abs(change) < self._least_change:
            return False
        return bool(change * np.sign(missed) >= LEAST_CHANGE_OF_MISS * abs(missed))
