"""Some made-up series over the snapshots of a run, with the truth about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME, Family, Nature, Statistic

Noise: TypeAlias = NDArray[np.float64]

LENGTH: Final = 400
"""Snapshots of a run for which false alarms are stated."""
ONSET: Final = 200
"""Snapshot at which an event begins unless told otherwise."""
EVERY: Final = 10
"""Steps between snapshots."""
RATE: Final = 1e-3
"""Learning rate where it is constant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Some series over the snapshots of a run.

    Attributes:
        values: float64 [length, series]. valid: bool, same shape.
        nature: what the statistic they stand for is declared as.
        onset: snapshot at which the event begins, or None.
        name: of the registered statistic that they are; "" where they stand for none.
        concerned: bool [series], which of them the event is in; None for all of them.
        early: snapshots before the onset at which noise may already have brought it about.
        tensors: the tensor behind each series, where layers are held against one another.
        times: the clock of each snapshot; () for a regular grid at a constant learning rate.
    """

    values: NDArray[np.float64]
    valid: NDArray[np.bool_]
    nature: Nature
    onset: int | None = None
    name: str = ""
    concerned: NDArray[np.bool_] | None = None
    early: int = 0
    tensors: tuple[TensorInfo, ...] = ()
    times: tuple[Clock, ...] = ()

    @property
    def statistic(self) -> Statistic:
        """What the series are of, for a detector to be made for."""
        if self.name:
            return BY_NAME[self.name]
        return Statistic(
            name=f"synthetic_{self.nature.value}",
            family=Family.ELEMENTS,
            nature=self.nature,
            unit="1",
            formula="synthetic",
            meaning="a made-up series",
        )

    @property
    def clocks(self) -> Sequence[Clock]:
        """The clock of each snapshot."""
        return self.times or clocks(len(self.values))

    def __iter__(self) -> Iterator[tuple[Clock, NDArray[np.float64], NDArray[np.bool_]]]:
        """Snapshot by snapshot: clock, values [series], valid [series]."""
        yield from zip(self.clocks, self.values, self.valid, strict=True)


Generator: TypeAlias = Callable[[np.random.Generator, int, int], Stream]
"""From a random generator, a number of series and a length."""


def stream_of(
    values: NDArray[np.float64],
    *,
    valid: NDArray[np.bool_] | None = None,
    nature: Nature = Nature.STATIONARY,
    onset: int | None = None,
    early: int = 0,
    times: Sequence[Clock] = (),
) -> Stream:
    """Independent series that stand for no statistic in particular."""
    known = np.ones(values.shape, dtype=np.bool_) if valid is None else valid
    return Stream(
        values=values, valid=known, nature=nature, onset=onset, early=early, times=tuple(times)
    )


def series_of(
    name: str,
    values: NDArray[np.float64],
    *,
    onset: int | None = None,
    concerned: NDArray[np.bool_] | None = None,
    tensors: Sequence[TensorInfo] = (),
    early: int = 0,
) -> Stream:
    """Series of a registered statistic; what is not finite has no value."""
    return Stream(
        values=values,
        valid=np.isfinite(values),
        nature=BY_NAME[name].nature,
        name=name,
        onset=onset,
        concerned=concerned,
        tensors=tuple(tensors),
        early=early,
    )


def clocks(length: int, *, every: int = EVERY, learning_rate: float = RATE) -> list[Clock]:
    """A regular grid at a constant learning rate: steps ``every``, ``2 every``, ..."""
    return grid([(index + 1) * every for index in range(length)], [learning_rate] * length)


def grid(steps: Sequence[int], rates: Sequence[float]) -> list[Clock]:
    """Snapshots at these steps and learning rates, without marks."""
    return [
        Clock(
            sequence=index,
            step=int(step),
            previous_step=int(steps[index - 1]) if index else None,
            learning_rates=(float(rate),),
        )
        for index, (step, rate) in enumerate(zip(steps, rates, strict=True))
    ]


def autoregressive(
    random: np.random.Generator, series: int, length: int, *, correlation: float
) -> Noise:
    """AR(1) noise of unit variance, float64 [length, series], stationary from the start."""
    shocks = random.standard_normal((length, series)) * np.sqrt(1 - correlation**2)
    shocks[0] /= np.sqrt(1 - correlation**2)
    noise: Noise = lfilter([1.0], [1.0, -correlation], shocks, axis=0)
    return noise


def drifting_norm(random: np.random.Generator, series: int, length: int) -> Noise:
    """A log-norm: relaxing drift, a slow walk of .1 % and noise of .05 % a snapshot."""
    time = np.arange(length)[:, None]
    rate = random.uniform(-0.3, 0.3, series)
    walk = np.cumsum(0.001 * random.standard_normal((length, series)), axis=0)
    noise = 0.0005 * random.standard_normal((length, series))
    course: Noise = rate * (1 - np.exp(-time / 80)) + walk + noise
    return course


def ramp(length: int, *, onset: int, snapshots: int) -> Noise:
    """0 before the onset, then rising evenly to 1 within so many snapshots, float64 [length]."""
    rising: Noise = np.clip((np.arange(length) - onset + 1) / snapshots, 0.0, 1.0)
    return rising
