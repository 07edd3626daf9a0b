"""Whether a tensor's density has more than one mode: its dip, and the dip over its threshold."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.distributions.dip import DIP_FLOOR, DIP_NOISE
from bifurk_service.stats.distributions.dips import dips
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.elements.stack import Floats, Stack, stack

DIP_POINTS: Final = 2_000
"""A larger tensor is represented by this many quantiles: one step of their distribution function
is a fifth of ``DIP_FLOOR``, and the dip's cost stays below a millisecond."""

_PROBABILITIES: Final[Floats] = (np.arange(DIP_POINTS) + 0.5) / DIP_POINTS


def dip_points(distribution: Distribution) -> NDArray[np.float64]:
    """The ascending values whose dip is taken, float64 [at most ``DIP_POINTS``].

    All elements of a small tensor, otherwise quantiles at (i + 1/2) / ``DIP_POINTS``. Elements on
    a 16-bit grid are spread over their bins: what is left is the shape of the density rather than
    that of the number format.
    """
    alone = stack([distribution])
    points: Floats = np.ldexp(_points(alone)[0], alone.exponent[0])
    return points


def stacked_dips(tensors: Stack) -> tuple[Floats, Floats]:
    """Dip and dip over threshold of every tensor, each float64 [T]."""
    points, lengths = _points(tensors)
    distance = dips(points, lengths)
    return distance, distance / np.maximum(DIP_FLOOR, DIP_NOISE / np.sqrt(tensors.sizes))


def _points(tensors: Stack) -> tuple[Floats, NDArray[np.int64]]:
    """The points of all tensors end to end and how many each has; in the stack's unit."""
    sampled = tensors.sizes > DIP_POINTS
    lengths = np.where(sampled, DIP_POINTS, tensors.sizes)
    if sampled.all():
        return tensors.quantiles(_PROBABILITIES, smooth=True).ravel(), lengths
    if not sampled.any():
        return tensors.order_statistics(smooth=True), lengths
    points = np.empty(lengths.sum())
    chosen = np.repeat(sampled, lengths)
    points[chosen] = tensors.select(sampled).quantiles(_PROBABILITIES, smooth=True).ravel()
    points[~chosen] = tensors.select(~sampled).order_statistics(smooth=True)
    return points, lengths
