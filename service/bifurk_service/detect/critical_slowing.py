"""``critical_slowing``: fluctuations of a role grow and slow down together. Off by default.

Near a bifurcation the pull back to the course weakens, so that variance and lag-1 autocorrelation
both rise (Scheffer et al. 2009, "Early-warning signals for critical transitions"; Dakos et al.
2012). So they do wherever noise merely changes: a hint, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.layer_history import LayerHistory
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import Array
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import Nature, Statistic

LEARNING_RATE_TOLERANCE: Final = 1e-6
"""Relative change of a learning rate below which it is the same."""
LARGEST_CORRELATION: Final = 0.99
LEAST_SPREAD: Final = 1e-9
"""Fluctuations below this share of the values are their own rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalSlowingParameters:
    """Windows, in rounds (mostly snapshots), and thresholds.

    Attributes:
        window: rounds looked at; the rolling window within it is half as long.
        bandwidth: standard deviation of the Gaussian that the course is taken out with.
        tau: least Kendall rank correlation with time, of variance and of autocorrelation.
        p_value: largest share of surrogates that trend as much in both.
        surrogates: AR(1) series of the same coefficient, always the same ones.
        every: rounds from one look to the next.
        least_layers: in a group.
        closed: rounds running without a warning before the next.
    """

    window: int = 96
    bandwidth: float = 19.0
    tau: float = 0.92
    p_value: float = 0.002
    surrogates: int = 1000
    every: int = 6
    least_layers: int = 3
    closed: int = 60


class CriticalSlowing:
    """Fires once for every member of a group whose median slows down; muted by the schedule."""

    kind: ClassVar[str] = "critical_slowing"
    version: ClassVar[int] = 2

    def __init__(
        self, statistic: Statistic, *, parameters: CriticalSlowingParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or CriticalSlowingParameters()
        self._layers = LayerHistory(
            self._parameters.window,
            # Rounds since a group's last look; since its last warning, while that is standing.
            Memory(since_look=0, told=False, closed=0),
            restarts_at_interval=statistic.nature is Nature.STATIONARY,
            least_layers=self._parameters.least_layers,
        )
        # The learning rates of the snapshot before, and snapshots since they last changed.
        self._rates: tuple[float, ...] | None = None
        self._steady = 0

    def update(
        self,
        clock: Clock,
        tensors: Sequence[TensorInfo],
        values: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> list[Detection]:
        """See ``PopulationDetector``; a logarithm there is only of a positive value."""
        course, known = on_course(self._statistic, values, valid)
        went_on = self._layers.take(clock, tensors, course, known)
        self._follow_rates(clock.learning_rates)
        return [
            detection
            for group in np.flatnonzero(went_on).tolist()
            for detection in self._judge(group)
        ]

    def snapshot(self) -> State:
        """See ``Detector``."""
        return {
            **self._layers.snapshot(),
            "rates": np.array(self._rates or (), dtype=np.float64),
            "steady": np.array([self._rates is not None, self._steady], dtype=np.int64),
        }

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._layers.restore(state)
        has_rates, self._steady = (int(number) for number in state["steady"])
        self._rates = tuple(state["rates"].tolist()) if has_rates else None

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _follow_rates(self, rates: tuple[float, ...]) -> None:
        same = self._rates is None or (
            len(rates) == len(self._rates)
            and np.allclose(rates, self._rates, rtol=LEARNING_RATE_TOLERANCE, atol=0)
        )
        self._steady = self._steady + 1 if same else 0
        self._rates = rates

    def _judge(self, group: int) -> list[Detection]:
        memory, parameters = self._layers.memory, self._parameters
        groups = self._layers.groups
        members = groups.members[group][groups.mask[group]]
        memory["since_look"][members] = memory["since_look"][members].max() + 1
        memory["closed"][members] = memory["closed"][members].max() + 1
        memory["told"][members] &= memory["closed"][members] < parameters.closed
        if memory["since_look"][members[0]] < parameters.every:
            return []
        mask = self._layers.taking_part(parameters.window)[group][groups.mask[group]]
        if mask.sum() < parameters.least_layers or self._steady < parameters.window:
            return []
        memory["since_look"][members] = 0
        found = self._trends(members[mask])
        if found is None:
            return []
        told = bool(memory["told"][members].any())
        memory["closed"][members], memory["told"][members] = 0, True
        return [] if told else self._detections(members[mask], groups.names[group], *found)

    def _trends(self, members: NDArray[np.int64]) -> tuple[float, float, float] | None:
        """Kendall's tau of variance and autocorrelation and their p-value; None: no warning."""
        parameters = self._parameters
        middle = np.median(self._layers.history.values[members], axis=0)
        noise = _detrended(middle[None, :], parameters.bandwidth)
        if np.std(noise) <= LEAST_SPREAD * max(float(np.max(np.abs(middle))), 1e-300):
            return None
        variance, correlation = _taus(noise)
        if min(variance[0], correlation[0]) <= parameters.tau:
            return None
        rho = np.clip(_lag_one(noise)[0], 0.0, LARGEST_CORRELATION)
        others = _detrended(self._surrogates(float(rho)), parameters.bandwidth)
        as_much = np.minimum(*_taus(others)) >= min(variance[0], correlation[0])
        p_value = (1 + int(as_much.sum())) / (1 + len(as_much))
        if p_value > parameters.p_value:
            return None
        return float(variance[0]), float(correlation[0]), p_value

    def _surrogates(self, rho: float) -> Array:
        """AR(1) series [R, window] from shocks that are the same at every look."""
        shape = (self._parameters.surrogates, self._parameters.window)
        shocks = np.random.default_rng(0).standard_normal(shape)
        series: Array = shocks / np.sqrt(1 - rho**2)
        for index in range(1, shape[1]):
            series[:, index] = rho * series[:, index - 1] + shocks[:, index]
        return series

    def _detections(
        self, members: NDArray[np.int64], name: str, variance: float, correlation: float, p: float
    ) -> list[Detection]:
        history = self._layers.history
        half = self._parameters.window // 2
        score = min(variance, correlation) / self._parameters.tau
        return [
            Detection(
                series=series,
                onset_first_step=int(history.steps[series, 0]),
                onset_last_step=int(history.steps[series, -1]),
                before=own_units(self._statistic, float(np.median(history.values[series, :half]))),
                after=own_units(self._statistic, float(np.median(history.values[series, half:]))),
                score=score,
                details={
                    "group": name,
                    "tau_variance": variance,
                    "tau_autocorrelation": correlation,
                    "p_value": p,
                },
            )
            for series in members.tolist()
        ]


def _detrended(values: Array, bandwidth: float) -> Array:
    """Values [R, N] less their course: a running Gaussian mean."""
    course: Array = gaussian_filter1d(values, bandwidth, axis=1, mode="nearest")
    rest: Array = values - course
    return rest


def _taus(noise: Array) -> tuple[Array, Array]:
    """Kendall's tau with time of rolling variance and rolling autocorrelation, [R] each."""
    windows = sliding_window_view(noise, noise.shape[1] // 2, axis=1)
    windows = windows - windows.mean(axis=2, keepdims=True)
    power = np.einsum("rkn,rkn->rk", windows, windows)
    product = np.einsum("rkn,rkn->rk", windows[:, :, 1:], windows[:, :, :-1])
    correlation = np.divide(product, power, out=np.zeros_like(power), where=power > 0)
    return _tau(power), _tau(correlation)


def _tau(values: Array) -> Array:
    """Kendall's tau of every row of [R, K] with its place."""
    first, second = np.triu_indices(values.shape[1], 1)
    signs: Array = np.sign(values[:, second] - values[:, first])
    tau: Array = signs.mean(axis=1)
    return tau


def _lag_one(noise: Array) -> Array:
    power = np.einsum("rn,rn->r", noise, noise)
    product = np.einsum("rn,rn->r", noise[:, 1:], noise[:, :-1])
    correlation: Array = np.divide(product, power, out=np.zeros_like(power), where=power > 0)
    return correlation
