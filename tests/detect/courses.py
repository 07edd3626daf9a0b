"""Streams with an event in every series, for the promises that every detector keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams import autoregressive
from bifurk_service.stats.registry import Nature, Statistic
from bifurk_service.stats.rows.elements import SHAPE_CLASSES

Course = Callable[[np.random.Generator], NDArray[np.float64]]

LENGTH = 150
SERIES = 4


def _since(onsets: NDArray[np.int64], *, period: int = LENGTH) -> NDArray[np.bool_]:
    """Whether the event of each series has begun, bool [LENGTH, SERIES]."""
    begun: NDArray[np.bool_] = np.arange(LENGTH)[:, None] % period >= onsets
    return begun


def _widening(random: np.random.Generator) -> NDArray[np.float64]:
    noise = random.standard_normal((LENGTH, SERIES))
    return np.where(_since(random.integers(70, 100, SERIES)), 5.0, 1.0) * noise


def _outlying(random: np.random.Generator) -> NDArray[np.float64]:
    return np.where(_since(random.integers(10, 60, SERIES)), 2.0, 0.0)


def _falling(random: np.random.Generator) -> NDArray[np.float64]:
    noise = 0.002 * np.cumsum(random.standard_normal((LENGTH, SERIES)), axis=0)
    return 3.0 + noise - np.where(_since(random.integers(40, 110, SERIES)), 1.2, 0.0)


def _dying(random: np.random.Generator) -> NDArray[np.float64]:
    noise = 0.0005 * random.standard_normal((LENGTH, SERIES))
    return 0.04 + noise + np.where(_since(random.integers(60, 110, SERIES)), 0.2, 0.0)


def _reshaping(random: np.random.Generator) -> NDArray[np.float64]:
    gaussian, laplace = SHAPE_CLASSES.index("gaussian"), SHAPE_CLASSES.index("laplace_like")
    return np.where(_since(random.integers(30, 50, SERIES), period=70), laplace, gaussian).astype(
        np.float64
    )


def _spoilt(random: np.random.Generator) -> NDArray[np.float64]:
    values = random.standard_normal((LENGTH, SERIES))
    for place in (50, 80, 110):
        values[place + random.integers(0, 20, SERIES), np.arange(SERIES)] += 40
    return values


def _parting(random: np.random.Generator) -> NDArray[np.float64]:
    parted = np.where(_since(random.integers(10, 40, SERIES), period=60), 1.5, 0.5)
    return parted + 0.1 * random.random((LENGTH, SERIES))


def _shifting(random: np.random.Generator) -> NDArray[np.float64]:
    values = autoregressive(random, SERIES, LENGTH, correlation=0.3)
    values[np.arange(LENGTH)[:, None] >= random.integers(70, 120, SERIES)] += 12
    return values


def _walking(random: np.random.Generator) -> NDArray[np.float64]:
    values = np.cumsum(0.01 * random.standard_normal((LENGTH, SERIES)), axis=0)
    values[np.arange(LENGTH)[:, None] >= random.integers(30, 120, SERIES)] += 3
    return values


def _turning(random: np.random.Generator) -> NDArray[np.float64]:
    course = np.sin(np.linspace(0, 3, LENGTH)[:, None] + random.uniform(0.2, 1, SERIES))
    return np.asarray(course + 0.002 * random.standard_normal(course.shape), dtype=np.float64)


def _crossing(random: np.random.Generator) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.where(
        np.arange(LENGTH)[:, None] % 60 >= random.integers(10, 40, SERIES), 1.5, 0.5
    ) + 0.1 * random.random((LENGTH, SERIES))
    return values


def _counting(random: np.random.Generator) -> NDArray[np.float64]:
    return np.where(random.random((LENGTH, SERIES)) > 0.9, 3.0, 0.0)


def _stopping(random: np.random.Generator) -> NDArray[np.float64]:
    still = np.arange(LENGTH)[:, None] % 50 >= random.integers(5, 40, SERIES)
    return np.where(still, 1.0, 0.0)


def _vanishing(random: np.random.Generator) -> NDArray[np.float64]:
    alive = np.arange(LENGTH)[:, None] % 70 < random.integers(20, 60, SERIES)
    return np.where(alive, 0.02 + 0.001 * random.random((LENGTH, SERIES)), 0.0)


COURSES: dict[str, Course] = {
    "turning_point": _turning,
    "mode_split": _crossing,
    "non_finite": _counting,
    "frozen": _stopping,
    "collapsed": _vanishing,
    "variance_burst": _widening,
    "spectral_outlier": _outlying,
    "rank_collapse": _falling,
    "path_fork": _dying,
    "path_dip_ratio": _parting,
    "shape_change": _reshaping,
    "one_bad_snapshot": _spoilt,
}
"""By kind; by statistic where a kind looks at one in another way. Logarithms where the statistic is
multiplicative."""


def course_of(kind: str, statistic: Statistic) -> Course:
    """The stream in which this kind sees something of this statistic."""
    shifting = _shifting if statistic.nature is Nature.STATIONARY else _walking
    return COURSES.get(statistic.name) or COURSES.get(kind, shifting)
