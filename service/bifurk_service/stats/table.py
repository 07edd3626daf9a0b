"""Statistics of one snapshot as a table: tensors down, the registry's statistics across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.registry import STATISTICS

STATISTIC_NAMES = tuple(statistic.name for statistic in STATISTICS)
"""The table's columns, in the registry's order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredTensors:
    """Statistics of one snapshot: names [T], values float64 [T, K] in the registry's order.

    NaN stands for "no value"; ``reasons`` [T] says why, by statistic.
    """

    names: Sequence[str]
    values: NDArray[np.float64]
    reasons: Sequence[Mapping[str, str]]

    def followed_by(self, other: MeasuredTensors) -> MeasuredTensors:
        """Both tables, this one's tensors first."""
        return MeasuredTensors(
            names=[*self.names, *other.names],
            values=np.concatenate([self.values, other.values]),
            reasons=[*self.reasons, *other.reasons],
        )
