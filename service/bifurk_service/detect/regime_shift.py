"""``regime_shift``: a statistic leaves the course of its past, and stays away.

The newest values are held against a robust line and a robust parabola through the reference
window before them. A shift must stand out from both, against the larger of two standard errors:
that of noise around the course, inflated for its autocorrelation, and, for a statistic that sums
up updates, that of a random walk with the window's own increments. Beside that, the level of the
newest three values is held against that of the three before, in units of the series' own past
leaps: it needs no course, and so sees abrupt changes early in a training and in correlated noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.gradual_rate import GradualRate
from bifurk_service.detect.history import History
from bifurk_service.detect.leap import LEAP_SPAN, LEAST_VALUES, leap_thresholds, leaps
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.prediction_error import grain, noise_error, walk_error
from bifurk_service.detect.robust_fit import Array, Basis, Mask, basis_of, miss, robust_sigma
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Nature, Statistic

RESOLUTION: Final = 1e-9
"""A statistic's own rounding, relative to its size: no noise is taken to be smaller."""
ONSET_DEVIANCE: Final = 4.0
"""Onsets are plausible within this of the best one's gain in squared standard deviations."""
STILL: Final = 6
"""A series that kept one value this long and then moves has no past to be held against."""
LEAST_CHANGE_OF_MISS: Final = 0.5
"""Of what a prediction misses, this much must be a change of the statistic itself."""
SCALE_EFFICIENCY: Final = 0.7
"""Degrees of freedom a robust scale leaves of a plain one's."""
DEGREES: Final = (1, 2)
CLEARLY: Final = 0.5
"""Errors must be so much smaller by the logarithms of steps to go by them."""
LOG_SPAN: Final = 4.0
"""Factor between a window's last and first step from which on its logarithm is tried too."""
LEVEL: Final = 3.7
"""Student's quantiles widen short windows' thresholds at this many standard deviations."""
GRAINS: Final = 3.0
"""A leap of rounded values must exceed this many of their steps."""
LEAPS: Final = 0
"""Stands for leaps where a scale is named."""
LEAST_LOG_CHANGE: Final = 0.05
"""5 % of a multiplicative statistic, unless it has a least change of its own."""
LEAST_CHANGE: Final[dict[str, float]] = {
    # Batches alone move it by a tenth; from here on an optimizer does something else.
    "update_ratio": 0.2,
    # Half of what separates a Gaussian from its nearest other class of shape.
    "excess_kurtosis": 0.25,
    "skewness": 0.05,
    "gaussian_ks_distance": 0.01,
    # One degree at 45 degrees from the start.
    "cosine_to_first": 0.01,
}
"""By statistic: what a person would call a change, on the scale the detector works on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeShiftParameters:
    """Windows, in snapshots, and thresholds.

    Attributes:
        reference: longest window of the past.
        scales: how many of the newest values are judged together, ascending. Each needs a past of
            three times its length; the shortest is left off once the next can be judged.
        threshold: in standard errors at a full reference window; wider for a shorter one.
        leap: in standard deviations of past leaps at a full history; wider for a shorter one.
        least_change: of the value, or of its logarithm where there is one; a lasting change below
            it is not worth telling. None takes the statistic's own from ``LEAST_CHANGE``.
    """

    reference: int = 60
    scales: tuple[int, ...] = (3, 6, 12, 24)
    threshold: float = 4.5
    leap: float = 8.5
    least_change: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """Series that are judged together. shared: whether all have their values at the same steps."""

    rows: NDArray[np.intp]
    shared: bool

    def only(self, chosen: Mask) -> _Batch:
        return self if chosen.all() else replace(self, rows=self.rows[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Window:
    """The newest values of a batch, [S, N]; their times and places [1, N] where it shares them."""

    times: Array
    values: Array
    known: Mask


class RegimeShift:
    """Fires once when a series leaves its past; its past then begins anew at the onset."""

    kind: ClassVar[str] = "regime_shift"
    version: ClassVar[int] = 2

    def __init__(
        self, statistic: Statistic, *, parameters: RegimeShiftParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or RegimeShiftParameters()
        self._integrated = statistic.nature is not Nature.STATIONARY
        self._follows_rate = statistic.log_scale and not self._integrated
        length = self._parameters.reference + self._parameters.scales[-1]
        self._history = History(length)
        self._rates = History(length)
        self._rate = GradualRate()
        self._memory = Memory(still=0)
        self._seam = Seam(restarts_at_interval=not self._integrated)
        self._thresholds = _thresholds(self._parameters)
        self._leap_thresholds = leap_thresholds(length, threshold=self._parameters.leap)
        self._least_change = _least_change(statistic, self._parameters)

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
        for batch in self._batches(rows):
            for scale, due in self._due(batch):
                for row, score in self._scores(due, scale):
                    best[row] = max(best.get(row, (0.0, 0)), (score, scale))
        return [
            detection
            for row, (score, scale) in sorted(best.items())
            if (detection := self._detection(row, scale, score))
        ]

    def _batches(self, rows: NDArray[np.intp]) -> list[_Batch]:
        """The rows that have their values when the longest has, and the others."""
        if not len(rows):
            return []
        counts, steps = self._history.counts[rows], self._history.steps[rows]
        longest = np.argmax(counts)
        alike = (counts == counts[longest]) & (steps == steps[longest]).all(axis=1)
        batches = (
            _Batch(rows=rows[alike], shared=True),
            _Batch(rows=rows[~alike], shared=False),
        )
        return [batch for batch in batches if len(batch.rows)]

    def _due(self, batch: _Batch) -> Iterator[tuple[int, _Batch]]:
        """Every scale with the rows that are long enough for it; ``LEAPS`` stands for leaps."""
        counts, scales = self._history.counts[batch.rows], self._parameters.scales
        yield LEAPS, batch.only(counts >= LEAST_VALUES)
        yield scales[0], batch.only((counts >= 4 * scales[0]) & (counts < 4 * scales[1]))
        for scale in scales[1:]:
            yield scale, batch.only(counts >= 4 * scale)

    def _scores(self, batch: _Batch, scale: int) -> list[tuple[int, float]]:
        """Rows that stand out at this scale, with how far over the threshold.

        What follows the learning rate must stand out from the rate's gradual course too.
        """
        passes = [False, True] if self._follows_rate else [False]
        scores = np.full(len(batch.rows), np.inf)
        for beside_rate in passes:
            if not len(batch.rows):
                break
            found = self._standing_out(batch, scale, beside_rate=beside_rate)
            scores = _lesser(scores, found)
            agreed = scores != 0
            batch, scores = batch.only(agreed), scores[agreed]
        return list(zip(batch.rows.tolist(), np.abs(scores).tolist(), strict=True))

    def _standing_out(self, batch: _Batch, scale: int, *, beside_rate: bool) -> Array:
        """In thresholds, signed; 0 where it does not, [S]."""
        window = self._window(batch, scale, beside_rate=beside_rate)
        if scale == LEAPS:
            return self._leap_scores(batch, window)
        return self._miss_scores(batch, window, scale)

    def _leap_scores(self, batch: _Batch, window: _Window) -> Array:
        needed = self._leap_thresholds[self._history.counts[batch.rows]]
        leap, limit = leaps(window.times, window.values, window.known, needed)
        out = np.flatnonzero(np.abs(leap) >= limit)
        few = _some(window, out)
        limit[out] = np.maximum(limit[out], GRAINS * grain(few.values, few.known))
        real = (limit > self._rounding(window.values)) & (np.abs(leap) >= self._least_change)
        scores: Array = np.where(real, leap / np.where(real, limit, 1.0), 0.0)
        return scores

    def _miss_scores(self, batch: _Batch, window: _Window, scale: int) -> Array:
        """Of the courses the one that is missed least; 0 where they are missed to either side."""
        reference = self._parameters.reference
        past = np.minimum(self._history.counts[batch.rows] - scale, reference)
        bases = [
            basis_of(axis, window.known, reference=reference, degree=DEGREES[-1])
            for axis in _axes(window)
        ]
        scores = np.full(len(batch.rows), np.inf)
        left = np.arange(len(batch.rows))
        for degree in DEGREES:
            parts = [basis.of(left).at_most(degree) for basis in bases]
            z = self._miss_in_errors(_some(window, left), parts, scale=scale, degree=degree)
            scores[left] = _lesser(scores[left], z / self._thresholds[degree][past[left]])
            left = left[scores[left] != 0]
            if not len(left):
                break
        return scores

    def _miss_in_errors(
        self, window: _Window, bases: Sequence[Basis], *, scale: int, degree: int
    ) -> Array:
        """By the axis on which the past is followed best, [S]."""
        missed, error = self._miss_and_error(window, bases[0], scale=scale, degree=degree)
        for basis in bases[1:]:
            other, smaller = self._miss_and_error(window, basis, scale=scale, degree=degree)
            better = smaller < CLEARLY * error
            missed, error = np.where(better, other, missed), np.where(better, smaller, error)
        out = np.flatnonzero(np.abs(missed) >= self._parameters.threshold * error)
        few = _some(window, out)
        error[out] = np.hypot(error[out], grain(few.values, few.known))
        moved = error > self._rounding(window.values)
        z: Array = np.where(moved, missed / np.where(moved, error, 1.0), 0.0)
        return z

    def _miss_and_error(
        self, window: _Window, basis: Basis, *, scale: int, degree: int
    ) -> tuple[Array, Array]:
        found = miss(basis, window.values)
        error = noise_error(found, basis.mask, degree=degree, scale=scale)
        if self._integrated:
            walk = walk_error(window.times, window.known, found, degree=degree, scale=scale)
            error = np.maximum(error, walk)
        return np.median(found.after, axis=1), error

    def _rounding(self, values: Array) -> Array:
        if self._statistic.log_scale:
            return np.full(len(values), RESOLUTION)
        size = np.maximum(values.max(axis=1), -values.min(axis=1))
        floor: Array = RESOLUTION * np.maximum(size, np.finfo(np.float64).tiny)
        return floor

    def _window(self, batch: _Batch, scale: int, *, beside_rate: bool = False) -> _Window:
        history = self._history
        first = history.length - self._parameters.reference - scale
        rows = batch.rows[:1] if batch.shared else batch.rows
        values = history.values[batch.rows, first:]
        if beside_rate:
            values = values - self._rates.values[batch.rows, first:]
        missing = history.length - history.counts[rows]
        return _Window(
            times=history.steps[rows, first:],
            values=values,
            known=np.arange(first, history.length) >= missing[:, None],
        )

    def _detection(self, row: int, scale: int, score: float) -> Detection | None:
        steps, values = self._history.steps[row].copy(), self._history.values[row].copy()
        leap = scale == LEAPS
        scale = LEAP_SPAN if leap else scale
        course, residuals, missed = self._course(row, scale, leap=leap)
        earliest, best, latest = _onset(course, scale=scale, residuals=residuals)
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
        window = self._window(_Batch(rows=np.array([row]), shared=True), scale)
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


def _lesser(before: Array, found: Array) -> Array:
    """Signed scores: the smaller in size, 0 where either is below 1 or they disagree in sign.

    Args:
        before: of the tests so far; infinite where there was none.
    """
    agreed = (np.abs(found) >= 1) & (np.isinf(before) | (np.sign(before) == np.sign(found)))
    return np.where(agreed, np.sign(found) * np.minimum(np.abs(before), np.abs(found)), 0.0)


def _axes(window: _Window) -> list[Array]:
    """Times, and their logarithms where a window spans so much that courses may follow those."""
    latest = window.times[:, -1]
    earliest = np.min(np.where(window.known, window.times, np.inf), axis=1)
    if np.any(latest >= LOG_SPAN * np.maximum(earliest, 1)):
        return [window.times, np.log1p(window.times)]
    return [window.times]


def _some(window: _Window, rows: NDArray[np.intp]) -> _Window:
    if len(rows) == len(window.values):
        return window
    shared = len(window.times) == 1
    return _Window(
        times=window.times if shared else window.times[rows],
        values=window.values[rows],
        known=window.known if shared else window.known[rows],
    )


def _onset(course: Array, *, scale: int, residuals: Array) -> tuple[int, int, int]:
    """How many of the newest values lie after the onset: at most, most likely, at least.

    The split of the course that explains most of it, and every split nearly as good.
    """
    counts = np.arange((scale + 1) // 2, len(course) + 1)
    sums = np.cumsum(course[::-1])[counts - 1]
    gains = sums**2 / counts
    sigma = float(robust_sigma(residuals[None, :], residuals[None, :] != 0)[0])
    plausible = counts[gains >= gains.max() - ONSET_DEVIANCE * sigma**2]
    return int(plausible[-1]), int(counts[np.argmax(gains)]), int(plausible[0])


def _thresholds(parameters: RegimeShiftParameters) -> dict[int, Array]:
    """By degree and number of reference points: wider by Student's quantile than at the longest."""
    level = ndtr(-LEVEL)
    counts = np.arange(parameters.reference + 1)
    thresholds = {}
    for degree in DEGREES:
        freedom = np.maximum(SCALE_EFFICIENCY * (counts - degree - 1), 1.0)
        quantile = -stdtrit(freedom, level)
        thresholds[degree] = parameters.threshold * quantile / quantile[-1]
    return thresholds


def _least_change(statistic: Statistic, parameters: RegimeShiftParameters) -> float:
    if parameters.least_change is not None:
        return parameters.least_change
    return LEAST_CHANGE.get(statistic.name, LEAST_LOG_CHANGE if statistic.log_scale else 0.0)
