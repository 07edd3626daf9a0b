"""Which kind is held on which families, and what is claimed of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from detecting.scoring import HORIZON

from bifurk_service.detect.streams import (
    EVENTS,
    LENGTH,
    MEASURED_NULLS,
    NULLS,
    ONSET,
    POPULATION_NULLS,
    UNDECLARED,
    Generator,
    Stream,
)
from bifurk_service.detect.streams.measured import MEASURED_ONSET
from bifurk_service.detect.streams.populations import LAYERS, layers_of
from bifurk_service.stats.registry import BY_NAME

SEED: Final = 10_000
"""The first seed of all that is reported; what is tuned uses seeds below 1,000."""
SERIES: Final = 400
AS_LOGARITHM: Final = 0.01
"""What one noise deviation of a scalar family is as a logarithm of a multiplicative statistic."""

_STILL: Final = (
    "white noise",
    "AR(.5)",
    "AR(.9)",
    "heteroscedastic",
    "Student-3",
    "one bad snapshot",
    "constant",
)
"""Families that go nowhere: for a ``turning_point`` any lasting rise or fall is one."""
_INTEGRATED: Final = ("random walk", "drifting norm", "starts to move", "bfloat16 norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one kind is held on.

    Attributes:
        statistic: that scalar families are made to stand for; "" for their own.
        scalar: names of families of ``NULLS``. own: other nulls by name.
        reported: families that are reported without a target, and why.
    """

    statistic: str = ""
    scalar: tuple[str, ...] = ()
    own: Mapping[str, Generator] | None = None
    reported: Mapping[str, str] | None = None


def _measured(*names: str) -> dict[str, Generator]:
    return {name: MEASURED_NULLS[name] for name in names}


_WALKS: Final = {"random walk on levels": "declared to be what it is not"}
HELD: Final[dict[str, Held]] = {
    "regime_shift": Held(
        scalar=tuple(NULLS),
        own={**UNDECLARED, **_measured("Gaussian kurtosis")},
        reported=_WALKS,
    ),
    "variance_burst": Held(scalar=tuple(NULLS), own=UNDECLARED, reported=_WALKS),
    "one_bad_snapshot": Held(
        scalar=tuple(name for name in NULLS if name != "one bad snapshot"),
        reported={"Student-3": "single values far off are what this kind tells"},
    ),
    "turning_point": Held(statistic="stable_rank", scalar=_STILL),
    "rank_collapse": Held(statistic="stable_rank", scalar=tuple(NULLS)),
    "branch_split": Held(statistic="std", scalar=(*_STILL, *_INTEGRATED), own=POPULATION_NULLS),
    "layer_departure": Held(statistic="std", scalar=(*_STILL, *_INTEGRATED), own=POPULATION_NULLS),
    "critical_slowing": Held(statistic="std", scalar=_STILL, own=POPULATION_NULLS),
    "path_fork": Held(own=_measured("healthy paths")),
    "shape_change": Held(own=_measured("Gaussian shape")),
    "mode_split": Held(own=_measured("one mode", "nearly two modes")),
    "spectral_outlier": Held(own=_measured("noise matrices")),
    "non_finite": Held(own=_measured("finite values")),
    "collapsed": Held(own=_measured("drifting spreads")),
    "frozen": Held(own=_measured("moving elements")),
}
POPULATIONS: Final = frozenset({"branch_split", "layer_departure", "critical_slowing"})
GROUPS: Final = 150
"""Of layers, in each family of a population kind, where others have ``SERIES`` series."""


def nulls_of(kind: str, *, series: int) -> Iterator[tuple[str, Stream]]:
    """The healthy families of a kind, by name, freshly drawn."""
    held = HELD[kind]
    count = groups_of(series) * LAYERS if kind in POPULATIONS else series
    families = {name: NULLS[name] for name in held.scalar}
    for place, (name, generate) in enumerate((families | dict(held.own or {})).items()):
        stream = generate(np.random.default_rng([SEED, place]), count, LENGTH)
        if name in families and held.statistic:
            stream = standing_for(stream, held.statistic, grouped=kind in POPULATIONS)
        yield name, stream


def events_of(kind: str, *, series: int) -> Iterator[tuple[str, Stream]]:
    """The families whose event a kind should see, by name, freshly drawn."""
    for place, (name, event) in enumerate(EVENTS.items()):
        if kind in event.kinds:
            random = np.random.default_rng([SEED + 1, place])
            layers = 48 if "48" in name else LAYERS
            count = groups_of(series) * layers if kind in POPULATIONS else series
            yield name, event.generate(random, count, length_of(name))


def groups_of(series: int) -> int:
    """Groups of layers where so many single series are drawn."""
    return max(series * GROUPS // SERIES, 1)


def length_of(name: str) -> int:
    """Snapshots of an event's family: up to where detections still count."""
    early = name in ("tails grow", "shape changes", "modes part") or name.startswith("spike")
    return (MEASURED_ONSET if early else ONSET) + (200 if name == "slow turn" else HORIZON)


def standing_for(stream: Stream, name: str, *, grouped: bool = False) -> Stream:
    """The same courses as values of a registered multiplicative statistic, perhaps in layers."""
    if not BY_NAME[name].log_scale:
        raise ValueError(f"{name} has no logarithm")
    with np.errstate(over="ignore"):
        values = np.exp(np.minimum(AS_LOGARITHM * stream.values, 300.0))
    tensors = layers_of(values.shape[1] // LAYERS, LAYERS) if grouped else ()
    return replace(stream, values=values, name=name, nature=BY_NAME[name].nature, tensors=tensors)
