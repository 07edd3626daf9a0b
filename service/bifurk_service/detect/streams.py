"""Labelled synthetic series, healthy and not: what detectors are tuned, tested and shown on.

Every generator takes a random generator and the shape, and gives ``length`` snapshots of
``series`` independent series in units of their noise. Nulls have no event; events name the
snapshot at which they begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Family, Nature, Statistic

Noise: TypeAlias = NDArray[np.float64]

LENGTH: Final = 400
"""Snapshots of a run for which false alarms are stated."""
ONSET: Final = 200
"""Snapshot at which an event begins unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Some series over the snapshots of a run.

    Attributes:
        values: float64 [length, series]. valid: bool, same shape.
        nature: what the statistic they stand for is declared as.
        onset: snapshot at which the event begins, or None.
    """

    values: NDArray[np.float64]
    valid: NDArray[np.bool_]
    nature: Nature
    onset: int | None = None

    @property
    def statistic(self) -> Statistic:
        """A statistic of that nature, for a detector to be made for."""
        return Statistic(
            name=f"synthetic_{self.nature.value}",
            family=Family.ELEMENTS,
            nature=self.nature,
            unit="1",
            formula="synthetic",
            meaning="a made-up series",
        )

    def __iter__(self) -> Iterator[tuple[Clock, NDArray[np.float64], NDArray[np.bool_]]]:
        """Snapshot by snapshot: clock, values [series], valid [series]."""
        yield from zip(clocks(len(self.values)), self.values, self.valid, strict=True)


Generator: TypeAlias = Callable[[np.random.Generator, int, int], Stream]


def clocks(length: int, *, every: int = 10, learning_rate: float = 1e-3) -> list[Clock]:
    """A regular grid at a constant learning rate: steps ``every``, ``2 every``, ..."""
    return [
        Clock(
            sequence=index,
            step=(index + 1) * every,
            previous_step=index * every if index else None,
            learning_rates=(learning_rate,),
        )
        for index in range(length)
    ]


def autoregressive(
    random: np.random.Generator, series: int, length: int, *, correlation: float
) -> Noise:
    """AR(1) noise of unit variance, float64 [length, series], stationary from the start."""
    shocks = random.standard_normal((length, series)) * np.sqrt(1 - correlation**2)
    shocks[0] /= np.sqrt(1 - correlation**2)
    noise: Noise = lfilter([1.0], [1.0, -correlation], shocks, axis=0)
    return noise


def jump(
    random: np.random.Generator, series: int, length: int, *, size: float, onset: int = ONSET
) -> Stream:
    """White noise whose level rises by ``size`` standard deviations."""
    values = random.standard_normal((length, series))
    values[onset:] += size
    return _stream(values, onset=onset)


def tripled(random: np.random.Generator, series: int, length: int, *, onset: int = ONSET) -> Stream:
    """The logarithm of a norm that drifts as healthy ones do, then is multiplied by three."""
    values = _integrated_drift(random, series, length)
    values[onset:] += np.log(3.0)
    return _stream(values, nature=Nature.INTEGRATED, onset=onset)


def _stream(
    values: NDArray[np.float64],
    *,
    valid: NDArray[np.bool_] | None = None,
    nature: Nature = Nature.STATIONARY,
    onset: int | None = None,
) -> Stream:
    known = np.ones(values.shape, dtype=np.bool_) if valid is None else valid
    return Stream(values=values, valid=known, nature=nature, onset=onset)


def _white(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(random.standard_normal((length, series)))


def _ar_half(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(autoregressive(random, series, length, correlation=0.5))


def _ar_nine_tenths(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(autoregressive(random, series, length, correlation=0.9))


def _on_course(course: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Generator:
    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        time = np.linspace(0, 1, length)[:, None]
        return _stream(course(time) + random.standard_normal((length, series)))

    return generate


def _heteroscedastic(random: np.random.Generator, series: int, length: int) -> Stream:
    scale = np.linspace(1.0, 3.0, length)[:, None]
    return _stream(scale * random.standard_normal((length, series)))


def _student_3(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(random.standard_t(3, (length, series)))


def _random_walk(random: np.random.Generator, series: int, length: int) -> Stream:
    values = np.cumsum(random.standard_normal((length, series)), axis=0)
    return _stream(values, nature=Nature.INTEGRATED)


def _integrated_drift(random: np.random.Generator, series: int, length: int) -> Noise:
    """A log-norm: relaxing drift, a slow walk of .1 % and noise of .05 % a snapshot."""
    time = np.arange(length)[:, None]
    rate = random.uniform(-0.3, 0.3, series)
    walk = np.cumsum(0.001 * random.standard_normal((length, series)), axis=0)
    noise = 0.0005 * random.standard_normal((length, series))
    course: Noise = rate * (1 - np.exp(-time / 80)) + walk + noise
    return course


def _drifting_norm(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(_integrated_drift(random, series, length), nature=Nature.INTEGRATED)


def _one_bad_snapshot(random: np.random.Generator, series: int, length: int) -> Stream:
    values = random.standard_normal((length, series))
    values[random.integers(0, length, series), np.arange(series)] += 1e6
    return _stream(values)


def _missing_snapshots(random: np.random.Generator, series: int, length: int) -> Stream:
    values = random.standard_normal((length, series)) + np.arange(length)[:, None] / 10
    valid = random.random((length, series)) > 0.3
    return _stream(np.where(valid, values, np.nan), valid=valid)


def _constant(random: np.random.Generator, series: int, length: int) -> Stream:
    return _stream(np.broadcast_to(random.standard_normal(series), (length, series)).copy())


def _starts_to_move(random: np.random.Generator, series: int, length: int) -> Stream:
    first = random.integers(1, length, series)
    moving = np.arange(length)[:, None] >= first
    steps = 0.01 + 0.001 * random.standard_normal((length, series))
    values = 1.0 + np.cumsum(np.where(moving, steps, 0.0), axis=0)
    return _stream(values, nature=Nature.INTEGRATED)


NULLS: Final[dict[str, Generator]] = {
    "white noise": _white,
    "AR(.5)": _ar_half,
    "AR(.9)": _ar_nine_tenths,
    "linear drift": _on_course(lambda time: 40 * time),
    "relaxation": _on_course(lambda time: 40 * np.exp(-5 * time)),
    "square-root growth": _on_course(lambda time: 40 * np.sqrt(time)),
    "heteroscedastic": _heteroscedastic,
    "Student-3": _student_3,
    "random walk": _random_walk,
    "drifting norm": _drifting_norm,
    "one bad snapshot": _one_bad_snapshot,
    "missing snapshots": _missing_snapshots,
    "constant": _constant,
    "starts to move": _starts_to_move,
}
"""Healthy series by name: nothing in them is worth telling."""
