"""Single series in which something happens, and what should see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bifurk_service.detect.streams.fold import fold
from bifurk_service.detect.streams.measured import (
    collapsing_spread,
    dying_weights,
    growing_tails,
    mode_split,
    non_finite,
    shape_change,
    spike,
    spike_of_larger,
    stopped,
)
from bifurk_service.detect.streams.populations import fork, leaving, nearing_fold, pitchfork
from bifurk_service.detect.streams.stream import (
    ONSET,
    Generator,
    Stream,
    autoregressive,
    drifting_norm,
    ramp,
    series_of,
    stream_of,
)
from bifurk_service.stats.registry import Nature


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A family of series with an event.

    Attributes:
        generate: makes them.
        kinds: of the detectors that should see it.
        meaning: what happens.
    """

    generate: Generator
    kinds: tuple[str, ...]
    meaning: str


def jump(
    random: np.random.Generator, series: int, length: int, *, size: float, onset: int = ONSET
) -> Stream:
    """White noise whose level rises by ``size`` standard deviations."""
    values = random.standard_normal((length, series))
    values[onset:] += size
    return stream_of(values, onset=onset)


def tripled(random: np.random.Generator, series: int, length: int, *, onset: int = ONSET) -> Stream:
    """The logarithm of a norm that drifts as healthy ones do, then is multiplied by three."""
    values = drifting_norm(random, series, length)
    values[onset:] += np.log(3.0)
    return stream_of(values, nature=Nature.INTEGRATED, onset=onset)


def slow_branch(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """White noise that leaves its level as the square root of time: 8 deviations within 60."""
    since = np.maximum(np.arange(length) - onset + 1, 0) / 60
    side = random.choice([-1.0, 1.0], series)
    values = random.standard_normal((length, series)) + 8 * np.sqrt(since)[:, None] * side
    return stream_of(values, onset=onset)


def variance_burst(
    random: np.random.Generator,
    series: int,
    length: int,
    *,
    factor: float = 3.0,
    correlation: float = 0.0,
    onset: int = ONSET,
) -> Stream:
    """AR(1) noise around a level, ``factor`` times as wide from the onset on."""
    values = autoregressive(random, series, length, correlation=correlation)
    values[onset:] *= factor
    return stream_of(values, onset=onset)


def rank_collapse(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """A stable rank that falls to 40 % of its course within 12 snapshots."""
    course = 3 + drifting_norm(random, series, length)
    fall = np.log(0.4) * ramp(length, onset=onset, snapshots=12)
    return series_of("stable_rank", np.exp(course + fall[:, None]), onset=onset)


def turn(random: np.random.Generator, series: int, length: int, *, onset: int = ONSET) -> Stream:
    """A stable rank that rises, then falls by 20 % over 150 snapshots: too slow for a shift."""
    rise = 0.1 * np.minimum(np.arange(length) / onset, 1.0)
    fall = np.log(0.8) * ramp(length, onset=onset, snapshots=150)
    noise = 0.004 * random.standard_normal((length, series))
    return series_of("stable_rank", np.exp(3 + (rise + fall)[:, None] + noise), onset=onset)


def bad_snapshot(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """White noise with one value 20 deviations off."""
    values = random.standard_normal((length, series))
    values[onset : onset + 1] += 20
    return stream_of(values, onset=onset)


def _jump(size: float) -> Event:
    return Event(
        generate=lambda random, series, length: jump(random, series, length, size=size),
        kinds=("regime_shift",),
        meaning=f"the level moves by {size:+g} standard deviations",
    )


def _burst(correlation: float) -> Event:
    return Event(
        generate=lambda random, series, length: variance_burst(
            random, series, length, correlation=correlation
        ),
        kinds=("variance_burst",),
        meaning=f"AR({correlation:g}) noise becomes three times as wide",
    )


def _fork(branch: int, layers: int) -> Event:
    return Event(
        generate=lambda random, series, length: fork(
            random, series, length, branch=branch, layers=layers
        ),
        kinds=("branch_split",),
        meaning=f"{branch} of {layers} layers grow by 30 % within 24 snapshots",
    )


EVENTS: Final[dict[str, Event]] = {
    "jump of 3": _jump(3.0),
    "jump of 5": _jump(5.0),
    "jump of -5": _jump(-5.0),
    "jump of 8": _jump(8.0),
    "tripled norm": Event(
        generate=tripled, kinds=("regime_shift",), meaning="a drifting norm is multiplied by three"
    ),
    "fold": Event(
        generate=fold,
        kinds=("regime_shift",),
        meaning="a branch ends (saddle-node), the state falls",
    ),
    "slow branch": Event(
        generate=slow_branch,
        kinds=("regime_shift",),
        meaning="the level leaves as the square root of time",
    ),
    "variance burst": _burst(0.0),
    "variance burst, AR(.5)": _burst(0.5),
    "pitchfork of layers": Event(
        generate=pitchfork,
        kinds=("branch_split",),
        meaning="12 layers leave their common course to either side (supercritical pitchfork)",
    ),
    "fork of 4 of 12": _fork(4, 12),
    "fork of 6 of 12": _fork(6, 12),
    "fork of 6 of 48": _fork(6, 48),
    "one layer leaves": Event(
        generate=leaving,
        kinds=("layer_departure",),
        meaning="one of 12 layers grows by 30 % within 24 snapshots",
    ),
    "layers near a fold": Event(
        generate=nearing_fold,
        kinds=("critical_slowing",),
        meaning="12 layers near the end of their branch: slower, wider noise before it ends",
    ),
    "spike emerges": Event(
        generate=spike,
        kinds=("spectral_outlier",),
        meaning="128 x 256 of noise get a direction of 1.5 times the detectable strength",
    ),
    "spike emerges, larger matrix": Event(
        generate=spike_of_larger,
        kinds=("spectral_outlier",),
        meaning="256 x 512 likewise",
    ),
    "tails grow": Event(
        generate=growing_tails,
        kinds=("regime_shift",),
        meaning="Gaussian values become Student's, down to 4 degrees of freedom",
    ),
    "dying weights": Event(
        generate=dying_weights, kinds=("path_fork",), meaning="half of the paths decay to nothing"
    ),
    "shape changes": Event(
        generate=shape_change, kinds=("shape_change",), meaning="Gaussian values become Laplace's"
    ),
    "modes part": Event(
        generate=mode_split,
        kinds=("mode_split",),
        meaning="the density's two halves part to +-1.3 standard deviations, of 100,000 values",
    ),
    "rank collapses": Event(
        generate=rank_collapse,
        kinds=("rank_collapse",),
        meaning="the stable rank falls to 40 % within 12 snapshots",
    ),
    "slow turn": Event(
        generate=turn, kinds=("turning_point",), meaning="a rise becomes a fall of 20 % over 150"
    ),
    "wild value": Event(
        generate=bad_snapshot,
        kinds=("one_bad_snapshot",),
        meaning="one value lies 20 deviations off",
    ),
    "non-finite": Event(
        generate=non_finite, kinds=("non_finite",), meaning="NaN or infinite values appear"
    ),
    "spread collapses": Event(
        generate=collapsing_spread, kinds=("collapsed",), meaning="the spread falls to a millionth"
    ),
    "stopped": Event(generate=stopped, kinds=("frozen",), meaning="no element moves any more"),
}
"""By name. In families of layers the event is in one group of layers at a time."""
