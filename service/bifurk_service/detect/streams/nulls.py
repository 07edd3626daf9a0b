"""Healthy series: nothing in them is worth telling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams.schedules import (
    cadence_change,
    cosine,
    log_spaced,
    scheduled,
    step_decay,
    warm_up,
)
from bifurk_service.detect.streams.stream import (
    EVERY,
    ONSET,
    Generator,
    Stream,
    autoregressive,
    drifting_norm,
    stream_of,
)
from bifurk_service.stats.registry import Nature

NOISE_OF_RATE: Final = 0.1
"""Noise of the logarithm of a statistic that follows the learning rate, as update ratios do."""
BFLOAT16_BITS: Final = 8
"""Significant bits of a bfloat16, the leading one counted."""


def _white(random: np.random.Generator, series: int, length: int) -> Stream:
    return stream_of(random.standard_normal((length, series)))


def _correlated(correlation: float) -> Generator:
    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        return stream_of(autoregressive(random, series, length, correlation=correlation))

    return generate


def _on_course(course: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Generator:
    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        time = np.linspace(0, 1, length)[:, None]
        return stream_of(course(time) + random.standard_normal((length, series)))

    return generate


def _heteroscedastic(random: np.random.Generator, series: int, length: int) -> Stream:
    scale = np.linspace(1.0, 3.0, length)[:, None]
    return stream_of(scale * random.standard_normal((length, series)))


def _student_3(random: np.random.Generator, series: int, length: int) -> Stream:
    return stream_of(random.standard_t(3, (length, series)))


def _random_walk(nature: Nature) -> Generator:
    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        values = np.cumsum(random.standard_normal((length, series)), axis=0)
        return stream_of(values, nature=nature)

    return generate


def _drifting_norm(random: np.random.Generator, series: int, length: int) -> Stream:
    return stream_of(drifting_norm(random, series, length), nature=Nature.INTEGRATED)


def _one_bad_snapshot(random: np.random.Generator, series: int, length: int) -> Stream:
    values = random.standard_normal((length, series))
    values[random.integers(0, length, series), np.arange(series)] += 1e6
    return stream_of(values)


def _missing_snapshots(random: np.random.Generator, series: int, length: int) -> Stream:
    values = random.standard_normal((length, series)) + np.arange(length)[:, None] / 10
    valid = random.random((length, series)) > 0.3
    return stream_of(np.where(valid, values, np.nan), valid=valid)


def _constant(random: np.random.Generator, series: int, length: int) -> Stream:
    return stream_of(np.broadcast_to(random.standard_normal(series), (length, series)).copy())


def _starts_to_move(random: np.random.Generator, series: int, length: int) -> Stream:
    first = random.integers(1, length, series)
    moving = np.arange(length)[:, None] >= first
    steps = 0.01 + 0.001 * random.standard_normal((length, series))
    values = 1.0 + np.cumsum(np.where(moving, steps, 0.0), axis=0)
    return stream_of(values, nature=Nature.INTEGRATED)


def _follows_rate(rates: Callable[[int], NDArray[np.float64]]) -> Generator:
    """The logarithm of the learning rate, in units of the noise around it."""

    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        course = rates(length)
        noise = random.standard_normal((length, series))
        values = np.log(course)[:, None] / NOISE_OF_RATE + noise
        return stream_of(values, times=scheduled(course))

    return generate


def _bfloat16(random: np.random.Generator, series: int, length: int) -> Stream:
    norms = np.exp(drifting_norm(random, series, length))
    mantissa, exponent = np.frexp(norms)
    kept = np.ldexp(np.rint(np.ldexp(mantissa, BFLOAT16_BITS)), exponent - BFLOAT16_BITS)
    return stream_of(np.log(kept), nature=Nature.INTEGRATED)


def _cadence_change(random: np.random.Generator, series: int, length: int) -> Stream:
    """Motion over twice the steps, per root of a step: more of it averages out."""
    level = np.where(np.arange(length) < ONSET, 0.0, -0.5 * np.log(2) / NOISE_OF_RATE)
    values = level[:, None] + random.standard_normal((length, series))
    return stream_of(values, times=cadence_change(length, at=ONSET))


def _log_spaced(random: np.random.Generator, series: int, length: int) -> Stream:
    """A relaxation in training time, seen densely at first."""
    times = log_spaced(length)
    steps = np.array([[clock.step] for clock in times], dtype=np.float64)
    values = 40 * np.exp(-steps / (40 * EVERY)) + random.standard_normal((length, series))
    return stream_of(values, times=times)


NULLS: Final[dict[str, Generator]] = {
    "white noise": _white,
    "AR(.5)": _correlated(0.5),
    "AR(.9)": _correlated(0.9),
    "linear drift": _on_course(lambda time: 40 * time),
    "relaxation": _on_course(lambda time: 40 * np.exp(-5 * time)),
    "square-root growth": _on_course(lambda time: 40 * np.sqrt(time)),
    "heteroscedastic": _heteroscedastic,
    "Student-3": _student_3,
    "random walk": _random_walk(Nature.INTEGRATED),
    "drifting norm": _drifting_norm,
    "one bad snapshot": _one_bad_snapshot,
    "missing snapshots": _missing_snapshots,
    "constant": _constant,
    "starts to move": _starts_to_move,
    "learning-rate step": _follows_rate(lambda length: step_decay(length, at=ONSET)),
    "warm-up": _follows_rate(warm_up),
    "cosine": _follows_rate(cosine),
    "bfloat16 norm": _bfloat16,
    "cadence change": _cadence_change,
    "log-spaced grid": _log_spaced,
}
"""Healthy series by name. What follows the learning rate does so on the clock too."""

UNDECLARED: Final[dict[str, Generator]] = {
    "random walk on levels": _random_walk(Nature.STATIONARY),
}
"""Series declared to be what they are not: reported, and held against no target."""
