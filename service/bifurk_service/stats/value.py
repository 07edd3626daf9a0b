"""A statistic's value, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class NoValue:
    """Why a statistic has no value here; a type of its own so that it never passes for a number."""

    reason: str


Value: TypeAlias = float | NoValue
Values: TypeAlias = Mapping[str, Value]
"""Statistic name to value; names are those of ``registry.STATISTICS``."""

NOT_SENT: Final = NoValue("no values were sent at this snapshot")
EMPTY: Final = NoValue("the tensor has no elements")
NO_FINITE: Final = NoValue("no value is finite")
ALL_EQUAL: Final = NoValue("all values are equal")
ALL_ZERO: Final = NoValue("all values are zero")
UNRESOLVED: Final = NoValue("the number format's grid is too coarse for this spread")
NO_EARLIER: Final = NoValue("there is no earlier snapshot to compare with")
INCOMPARABLE: Final = NoValue("the tensor has another size than in the earlier snapshot")
FIRST_ALL_EQUAL: Final = NoValue("all values were equal at the first snapshot")
FIRST_ALL_ZERO: Final = NoValue("all values were zero at the first snapshot")
INCOMPLETE: Final = NoValue("only a part of the tensor came")
NOT_A_MATRIX: Final = NoValue("not a matrix")
TOO_NARROW: Final = NoValue("a single row or column has no spectrum to speak of")
FULL_NOT_SENT: Final = NoValue("full values were not sent at this snapshot")
NOT_FINITE: Final = NoValue("some values are not finite")
NO_CONVERGENCE: Final = NoValue("the eigenvalues did not converge")
TOO_LARGE: Final = NoValue("the result exceeds float64")
