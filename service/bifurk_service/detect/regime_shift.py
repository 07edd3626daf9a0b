"""``regime_shift``: a statistic leaves the course of its past, and stays away.

The newest values are held against a robust line and a robust parabola through the reference
window before them. A shift must stand out from both, against the larger of two standard errors:
that of noise around the course, inflated for its autocorrelation, and, for a statistic that sums
up updates, that of a random walk with the window's own increments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.history import History
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import (
    Array,
    Mask,
    Miss,
    lag_one,
    masked_median,
    miss,
    robust_sigma,
)
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Nature, Statistic

MEDIAN_VARIANCE: Final = np.pi / 2
"""Variance of a median over that of a mean, for Gaussian noise."""
LARGEST_CORRELATION: Final = 0.97
"""Beyond it, 60 points cannot tell noise that returns from a random walk."""
RESOLUTION: Final = 1e-9
"""A statistic's own rounding, relative to its size: no noise is taken to be smaller."""
ONSET_DEVIANCE: Final = 4.0
"""Onsets are plausible within this of the best one's gain in squared standard deviations."""
STILL: Final = 6
"""A series that kept one value this long and then moves has no past to be held against."""
LEAST_CHANGE_OF_MISS: Final = 0.5
"""Of what a prediction misses, this much must be a change of the statistic itself."""
WALK_CORRELATION: Final = (-0.5, 0.9)
"""Range in which neighbouring increments' correlation is believed."""
SCALE_EFFICIENCY: Final = 0.7
"""Degrees of freedom a robust scale leaves of a plain one's."""
DEGREES: Final = (1, 2)
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
        least_change: of the value, or of its logarithm where there is one; a lasting change below
            it is not worth telling. None takes the statistic's own from ``LEAST_CHANGE``.
    """

    reference: int = 60
    scales: tuple[int, ...] = (3, 6, 12, 24)
    threshold: float = 4.5
    least_change: float | None = None


class RegimeShift:
    """Fires once when a series leaves its past; its past then begins anew at the onset."""

    kind: ClassVar[str] = "regime_shift"
    version: ClassVar[int] = 1

    def __init__(
        self, statistic: Statistic, *, parameters: RegimeShiftParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or RegimeShiftParameters()
        self._integrated = statistic.nature is not Nature.STATIONARY
        self._history = History(self._parameters.reference + self._parameters.scales[-1])
        self._memory = Memory(still=0)
        self._seam = Seam(restarts_at_interval=not self._integrated)
        self._thresholds = _thresholds(self._parameters)
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
        return {**self._history.snapshot(), **self._seam.snapshot(), **self._memory.snapshot()}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._seam.restore(state)
        self._memory.restore(state)

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
            history.forget(np.ones(len(history.counts), dtype=np.bool_))
            memory.forget()
        history.grow(len(values))
        memory.grow(len(values))
        same = known & (history.counts > 0) & (history.values[:, -1] == values)
        history.forget(known & ~same & (memory["still"] >= STILL))
        history.push(clock.step, values, known)
        still = np.where(same, memory["still"] + 1, 1)
        memory["still"] = np.where(known, still, memory["still"])

    def _judge(self, rows: NDArray[np.intp]) -> list[Detection]:
        best: dict[int, tuple[float, int]] = {}
        for scale, following in zip(
            self._parameters.scales, (*self._parameters.scales[1:], None), strict=True
        ):
            counts = self._history.counts[rows]
            ready = counts >= 4 * scale
            if scale == self._parameters.scales[0] and following:
                ready &= counts < 4 * following
            for row, score in self._scores(rows[ready], scale):
                best[row] = max(best.get(row, (0.0, 0)), (score, scale))
        return [
            detection
            for row, (score, scale) in sorted(best.items())
            if (detection := self._detection(row, scale, score))
        ]

    def _scores(self, rows: NDArray[np.intp], scale: int) -> list[tuple[int, float]]:
        """Rows whose newest ``scale`` values miss both courses, with how far over the threshold."""
        score, sign = np.full(len(rows), np.inf), np.zeros(len(rows))
        for degree in DEGREES:
            if not len(rows):
                break
            z = self._miss_in_errors(rows, scale, degree)
            count = np.minimum(self._history.counts[rows] - scale, self._parameters.reference)
            score = np.minimum(score, np.abs(z) / self._thresholds[degree][count])
            keep = (score >= 1) & (sign * np.sign(z) >= 0)
            rows, score, sign = rows[keep], score[keep], np.sign(z)[keep]
        return list(zip(rows.tolist(), score.tolist(), strict=True))

    def _miss_in_errors(self, rows: NDArray[np.intp], scale: int, degree: int) -> Array:
        reference = self._parameters.reference
        times, values, known = self._window(rows, scale)
        found = miss(times, values, known=known, reference=reference, degree=degree)
        error = _noise_error(found, known[:, :reference], degree=degree, scale=scale)
        size = np.max(np.abs(values), axis=1) if not self._statistic.log_scale else 1.0
        floor = RESOLUTION * np.maximum(size, np.finfo(np.float64).tiny)
        if self._integrated:
            walk = _walk_error(times, values, known, found.weights, scale=scale)
            error = np.maximum(error, walk)
        moved = error > floor
        z: Array = np.where(
            moved, np.median(found.after, axis=1) / np.where(moved, error, 1.0), 0.0
        )
        return z

    def _window(self, rows: NDArray[np.intp], scale: int) -> tuple[Array, Array, Mask]:
        window = slice(self._history.length - self._parameters.reference - scale, None)
        history = self._history
        return (
            history.steps[rows, window],
            history.values[rows, window],
            history.known[rows, window],
        )

    def _detection(self, row: int, scale: int, score: float) -> Detection | None:
        steps, values = self._history.steps[row].copy(), self._history.values[row].copy()
        times, window, known = self._window(np.array([row]), scale)
        reference = self._parameters.reference
        found = miss(times, window, known=known, reference=reference, degree=1)
        course = np.concatenate([found.residuals[0, -scale:], found.after[0]])
        earliest, best, latest = _onset(course, scale=scale, residuals=found.residuals[0])
        before = np.median(values[-earliest - scale : -earliest])
        after = np.median(values[-best:])
        if not self._is_lasting(float(after - before), float(np.median(found.after))):
            return None
        chosen = np.zeros(len(self._history.counts), dtype=np.bool_)
        chosen[row] = True
        self._history.forget(chosen, keep=best)
        return Detection(
            series=row,
            onset_first_step=int(steps[-earliest - 1]),
            onset_last_step=int(steps[-latest]),
            before=own_units(self._statistic, float(before)),
            after=own_units(self._statistic, float(after)),
            score=score,
            details={"scale": scale, "snapshots_since_onset": best},
        )

    def _is_lasting(self, change: float, missed: float) -> bool:
        # A course that merely bends misses its extrapolation without going anywhere itself.
        if abs(change) < self._least_change:
            return False
        return bool(change * np.sign(missed) >= LEAST_CHANGE_OF_MISS * abs(missed))


def _noise_error(found: Miss, mask: Mask, *, degree: int, scale: int) -> Array:
    """Standard error of the median miss when AR(1) noise surrounds the course, [S]."""
    count = mask.sum(axis=1).astype(np.float64)
    sigma = robust_sigma(found.residuals, mask)
    sigma = sigma * np.sqrt(count / np.maximum(count - degree - 1, 1))
    # Fitting a polynomial lowers the residuals' correlation; Kendall's correction undoes it.
    raw = (lag_one(found.residuals, mask) * count + degree + 1) / np.maximum(count - degree - 3, 1)
    rho = np.clip(raw, 0.0, LARGEST_CORRELATION)
    of_fit = found.leverage * (1 + rho) / (1 - rho)
    error: Array = sigma * np.sqrt(MEDIAN_VARIANCE * _mean_variance(rho, scale) + of_fit)
    return error


def _mean_variance(rho: Array, scale: int) -> Array:
    """Variance of the mean of ``scale`` neighbours of a unit AR(1), [S]."""
    lags = np.arange(1, scale)
    terms = (1 - lags / scale) * rho[:, None] ** lags
    variance: Array = (1 + 2 * terms.sum(axis=1)) / scale
    return variance


def _walk_error(times: Array, values: Array, known: Mask, weights: Array, *, scale: int) -> Array:
    """Standard error of the mean miss when the series is a random walk, [S].

    The miss is a weighted sum of increments; each weighs what stands after it in the mean of the
    newest values less what stands after it in the prediction.
    """
    pull = np.concatenate([-weights, np.full((len(values), scale), 1 / scale)], axis=1)
    share = np.cumsum(pull[:, ::-1], axis=1)[:, ::-1][:, 1:]
    pairs = known[:, 1:] & known[:, :-1]
    gaps = np.where(pairs, np.diff(times, axis=1), 0.0)
    rates = np.diff(values, axis=1) / np.sqrt(np.where(gaps > 0, gaps, 1.0))
    past = pairs[:, :-scale]
    rates = (rates[:, :-scale] - masked_median(rates[:, :-scale], past)[:, None]) * past
    rho = np.clip(lag_one(rates, past), *WALK_CORRELATION)
    long_run = robust_sigma(rates, past) * np.sqrt((1 + rho) / (1 - rho))
    error: Array = long_run * np.sqrt(np.einsum("sn,sn->s", share**2, gaps))
    return error


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
    """By degree and number of reference points: Student's quantile at the full window's level."""
    level = ndtr(-parameters.threshold)
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
