"""Numbers set side by side, where JSON holds no infinity."""

from __future__ import annotations

import math

from bifurk_service.stats.registry import BY_NAME


def ratio(statistic: str, this: float, other: float) -> float | None:
    """This / other of a statistic on a logarithmic scale; None of others, or where it has none."""
    if not BY_NAME[statistic].log_scale or other == 0.0:
        return None
    return or_null(this / other)


def or_null(value: float) -> float | None:
    """A finite number, or None."""
    return value if math.isfinite(value) else None
