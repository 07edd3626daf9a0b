"""Whether the paths of a tensor have parted: the dip of their magnitudes' logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bifurk_service.stats.distributions.dip import dip_threshold
from bifurk_service.stats.distributions.dips import dips
from bifurk_service.stats.motion.compared import Compared, Floats, Pair, pair_of
from bifurk_service.stats.value import ALL_ZERO, FIRST_ALL_EQUAL, NoValue, Value

PATH_DIP_POINTS: Final = 512
"""More paths are represented by this many quantiles: one step of their distribution function is
a sixth of the threshold for 4,096 paths."""
_LOGARITHMS: Final = 1024.0
"""A power of two above the logarithm of every float64."""


def path_dip_ratios(firsts: Sequence[Compared | NoValue]) -> list[Value]:
    """``path_dip_ratio`` of every tensor: the dip of r = ln(|w| / std(w_first)) over its threshold.

    The dip does not depend on the unit, so r need not be divided by the first spread, only have
    one. Paths that are exactly zero are left out. All tensors go through the dip together,
    which costs a fraction of each alone.

    Args:
        firsts: elements now and at the attempt's first snapshot, or why they cannot be compared.
    """
    points = [_points(first) for first in firsts]
    known = [one for one in points if not isinstance(one, NoValue)]
    if not known:
        return [one for one in points if isinstance(one, NoValue)]
    samples = [sample for sample, _ in known]
    lengths = np.array([sample.size for sample in samples], dtype=np.int64)
    distances = iter(dips(np.concatenate(samples), lengths).tolist())
    return [
        one if isinstance(one, NoValue) else next(distances) / dip_threshold(one[1])
        for one in points
    ]


def _points(first: Compared | NoValue) -> tuple[Floats, int] | NoValue:
    """Ascending values of r, in a unit the dip takes, and how many paths they stand for."""
    pair = first if isinstance(first, NoValue) else pair_of(first)
    if isinstance(pair, NoValue):
        return pair
    if pair.then_equal:
        return FIRST_ALL_EQUAL
    magnitudes = _magnitudes(pair)
    if not magnitudes.size:
        return ALL_ZERO
    return np.log(_quantiles(magnitudes)) / _LOGARITHMS, magnitudes.size


def _magnitudes(pair: Pair) -> Floats:
    found: Floats = np.abs(np.concatenate([now[now != 0.0] for now, _ in pair.chunks()]))
    if pair.compared.now.dtype == "float64":
        return np.sort(found)
    # What came in at most 32 bits loses none, and sorts in half the time.
    ascending: Floats = np.sort(found.astype(np.float32)).astype(np.float64)
    return ascending


def _quantiles(ascending: Floats) -> Floats:
    """At most ``PATH_DIP_POINTS`` quantiles at (i + 1/2)/points, equal values spread evenly.

    Weights in a 16-bit format repeat: their distribution function is taken to rise in straight
    lines through the middles of its steps, so that the format's grid makes no modes.
    """
    size = ascending.size
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    middles = (starts + np.append(starts[1:], size)) / 2.0
    points = min(size, PATH_DIP_POINTS)
    wanted = (np.arange(points) + 0.5) * (size / points)
    quantiles: Floats = np.interp(wanted, middles, ascending[starts])
    return quantiles
