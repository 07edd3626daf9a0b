"""One value of a statistic that was computed elsewhere."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_POINTS: Final = 20_000
"""In one request: while they are stored, some seconds, the database takes nothing else."""
WHOLE_MODEL: Final = "(model)"
"""The tensor of what is said of no tensor in particular: a loss, a learning rate."""


class Point(NamedTuple):
    """What a statistic of a tensor was at a step; NaN where it had no value."""

    step: int
    tensor: str
    statistic: str
    value: float
