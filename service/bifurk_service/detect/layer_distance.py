"""How far layers are from the others of their group, and which of them stand apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bifurk_service.detect.medians import masked_median, median
from bifurk_service.detect.robust_fit import Array, Mask, robust_sigma

NEIGHBOURHOOD: Final = 5
"""A layer and two on either side; the median of what they moved by survives two departures."""
TAIL: Final = 3.0
"""Standard deviations: what walks has wide tails, what has left before must not hide the next."""
LEAST_INNER: Final = 6
"""Layers that must have such a neighbourhood to be held against one another."""

Centre: TypeAlias = Callable[[Array, Mask], tuple[Array, Mask]]
"""From values and mask, [G, L] by depth, to distances and for which layers there are any."""


def apart_by(values: Array, mask: Mask) -> Array:
    """From the smallest to the largest of each group, [G]; below 0 where there is none."""
    largest = np.max(np.where(mask, values, -np.inf), axis=1, initial=-np.inf)
    smallest = np.min(np.where(mask, values, np.inf), axis=1, initial=np.inf)
    apart: Array = largest - smallest
    return apart


def from_the_middle(values: Array, mask: Mask) -> tuple[Array, Mask]:
    """Distance of every layer from its group's median, [G, L]; 0 outside of the mask."""
    distance: Array = np.where(mask, values - masked_median(values, mask)[:, None], 0.0)
    return distance, mask


def from_neighbours(values: Array, mask: Mask) -> tuple[Array, Mask]:
    """Distance of every inner layer from the median of its neighbourhood in depth, [G, L].

    It is 0 on any monotone profile. The two layers at either end have no such neighbourhood.
    """
    inner = np.zeros_like(mask)
    distance = np.zeros(values.shape)
    if values.shape[1] < NEIGHBOURHOOD:
        return distance, inner
    side = NEIGHBOURHOOD // 2
    middle = median(sliding_window_view(values, NEIGHBOURHOOD, axis=1))
    inner[:, side:-side] = sliding_window_view(mask, NEIGHBOURHOOD, axis=1).all(axis=2)
    inner &= (inner.sum(axis=1) >= LEAST_INNER)[:, None]
    distance[:, side:-side] = np.where(inner[:, side:-side], values[:, side:-side] - middle, 0.0)
    return distance, inner


def spread(distance: Array, mask: Mask) -> Array:
    """Standard deviation of distances around zero, [G], little moved by a few that stand apart.

    Of any five layers one is the median of its neighbourhood itself; so large a share of distances
    of exactly zero says nothing of the others. Where there are more, it is a profile that does.
    """
    zero = mask & (distance == 0)
    medians = zero & (np.cumsum(zero, axis=1) * NEIGHBOURHOOD <= mask.sum(axis=1)[:, None])
    return robust_sigma(distance, mask & ~medians)


def usual_spread(distances: Array, mask: Mask) -> float:
    """Standard deviation of a group's past distances, [P, L], their tails counted.

    The larger of ``spread`` and the root mean square of distances clipped at ``TAIL`` of it.
    """
    sigma = float(spread(distances.reshape(1, -1), mask.reshape(1, -1))[0])
    clipped = np.clip(distances, -TAIL * sigma, TAIL * sigma) * mask
    return max(sigma, float(np.sqrt((clipped**2).sum() / max(mask.sum(), 1))))


def leaving(distance: Array, mask: Mask, *, clear: float) -> Mask:
    """Which one or two layers of either side stand apart from the rest of their group, [G, L].

    The gap to the rest is ``clear`` times as wide as any in the rest, or wider.
    """
    out = np.zeros_like(mask)
    count = mask.sum(axis=1)
    if distance.shape[1] < 4:
        return out
    within = np.arange(1, distance.shape[1]) < count[:, None]
    for sign in (1.0, -1.0):
        ordered = np.where(mask, -sign * distance, np.inf)
        ordered.sort(axis=1)
        gaps = np.zeros(within.shape)
        np.subtract(ordered[:, 1:], ordered[:, :-1], out=gaps, where=within)
        rest = gaps[:, 2:].max(axis=1)
        one = gaps[:, 0] > clear * np.maximum(gaps[:, 1], rest)
        two = gaps[:, 1] > clear * rest
        bound = np.where(two, -ordered[:, 1], np.where(one, -ordered[:, 0], np.inf))
        out |= mask & (sign * distance >= bound[:, None])
    return out
