"""``critical_slowing`` beside ewstools, which looks back over a whole series."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from detecting.plan import SEED
from detecting.scoring import Share, null_of, power_of
from detecting.watching import BY_KIND, watched
from numpy.typing import NDArray

from bifurk_service.detect.streams import EVENTS, ONSET, POPULATION_NULLS, Stream
from bifurk_service.detect.streams.populations import LAYERS

KIND: Final = "critical_slowing"
TREND: Final = 0.7
"""Kendall's tau of variance and of lag-1 autocorrelation that both must pass."""
FAMILIES: Final = ("scale growth", "layers near one another", "white layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Groups of layers in which a fold was announced before it came, or never came."""

    family: str
    ewstools: Share
    ours: Share | None


def warned(*, groups: int) -> list[Warned]:
    """Both on the role's median, up to the snapshot before the fold; and on healthy layers."""
    event = EVENTS["layers near a fold"].generate
    streams = {"layers near a fold": event(_random(0), groups * LAYERS, ONSET)}
    for place, name in enumerate(FAMILIES):
        generate = POPULATION_NULLS[name]
        streams[name] = generate(_random(1 + place), groups * LAYERS, ONSET)
    return [
        Warned(
            family=name,
            ewstools=Share(count=sum(map(_announced, _medians(stream))), of=groups),
            ours=_ours(stream),
        )
        for name, stream in streams.items()
    ]


def _ours(stream: Stream) -> Share | None:
    if KIND not in BY_KIND:
        return None
    seen = watched(KIND, stream).seen
    return null_of(stream, seen).series if stream.onset is None else power_of(stream, seen).seen


def _medians(stream: Stream) -> list[NDArray[np.float64]]:
    logarithms = np.log(stream.values).reshape(len(stream.values), -1, LAYERS)
    return list(np.median(logarithms, axis=2).T)


def _announced(series: NDArray[np.float64]) -> bool:
    """As in its tutorials: Gaussian detrending, rolling windows of a quarter of the series."""
    import ewstools
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ewstools.TimeSeries(data=pd.Series(series))
        found.detrend(method="Gaussian", bandwidth=0.2)
        found.compute_var(rolling_window=0.25)
        found.compute_auto(rolling_window=0.25, lag=1)
        found.compute_ktau()
    return bool(found.ktau["variance"] > TREND and found.ktau["ac1"] > TREND)


def _random(place: int) -> np.random.Generator:
    return np.random.default_rng([SEED + 5, place])
