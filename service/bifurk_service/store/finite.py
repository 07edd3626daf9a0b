"""What a column keeps of a number that came from outside."""

from __future__ import annotations

import math


def finite_or_null(value: float) -> float | None:
    """The number, or None for NaN and infinities: they are no numbers to compare or add."""
    return value if math.isfinite(value) else None
