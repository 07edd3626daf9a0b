"""A statistic's value, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class NoValue:
    """Why a statistic has no value here; a type of its own so that it never passes for a number."""

    reason: str


Value: TypeAlias = float | NoValue
Values: TypeAlias = Mapping[str, Value]
"""Statistic name to value; names are those of ``registry.STATISTICS``."""
