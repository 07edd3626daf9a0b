"""A statistic by depth: does it rise or fall from the first layer to the last?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from bifurk_service.stats.layers.profile_tensor import ProfileTensor, by_layer, by_role
from bifurk_service.stats.value import ALL_EQUAL, NoValue, Value

MIN_LAYERS: Final = 4
"""Of three layers one order in three is monotone by chance."""
EXACT_LAYERS: Final = 8
"""Up to this many layers all orders are tried (40,320); beyond, Student's t is near enough."""

FEW_LAYERS: Final = NoValue(f"fewer than {MIN_LAYERS} layers have a value")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthProfile:
    """One statistic of one role, layer by layer.

    Attributes:
        role: one of ``bifurk.layout.ROLES``.
        layers: int64 [L], ascending. values: float64 [L], the median over a layer's tensors.
        spearman: rank correlation with depth, in [-1, 1].
        p_value: two-sided, of no relation with depth; layers taken as exchangeable.
    """

    role: str
    layers: NDArray[np.int64]
    values: NDArray[np.float64]
    spearman: Value
    p_value: Value


def depth_profile(tensors: Sequence[ProfileTensor], *, statistic: str) -> list[DepthProfile]:
    """A statistic by layer for every role that has it, roles in alphabetical order.

    Args:
        tensors: any order. statistic: a key of ``ProfileTensor.values``; any statistic of single
            tensors may stand there.
    """
    profiles = []
    for role, members in by_role(tensors).items():
        layers, values = by_layer(members, statistic)
        if not layers.size:
            continue
        correlation = depth_correlation(values)
        p_value = correlation
        if not isinstance(correlation, NoValue):
            p_value = _p_value(values, correlation)
        profiles.append(
            DepthProfile(
                role=role, layers=layers, values=values, spearman=correlation, p_value=p_value
            )
        )
    return profiles


def depth_correlation(values: NDArray[np.float64]) -> Value:
    """Spearman's rank correlation of values [L], in the layers' order, with depth."""
    if values.size < MIN_LAYERS:
        return FEW_LAYERS
    ranks = _ranks(values) - (values.size + 1) / 2.0
    depth = np.arange(values.size) - (values.size - 1) / 2.0
    spread = float(ranks @ ranks)
    if spread == 0.0:
        return ALL_EQUAL
    return float(depth @ ranks) / math.sqrt(spread * float(depth @ depth))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs.

    As ``scipy.stats.rankdata``; importing ``scipy.stats`` takes a server a third of a second more.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[place]


def _p_value(values: NDArray[np.float64], correlation: float) -> float:
    size = values.size
    if size <= EXACT_LAYERS:
        depth = np.arange(size) - (size - 1) / 2.0
        ranks = _ranks(values)
        # Sums of halves are exact, so that equal ones are equal.
        return float(np.mean(np.abs(ranks[_orders(size)] @ depth) >= abs(ranks @ depth)))
    freedom = size - 2
    rest = max(1.0 - correlation**2, np.finfo(np.float64).tiny)
    t = abs(correlation) * math.sqrt(freedom / rest)
    return max(2.0 * float(stdtr(freedom, -t)), 2.0 / math.factorial(size))


@cache
def _orders(size: int) -> NDArray[np.int64]:
    """All orders of 0..size-1, int64 [size!, size]."""
    return np.array(list(permutations(range(size))), dtype=np.int64)
