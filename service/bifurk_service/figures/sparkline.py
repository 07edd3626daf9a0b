"""A course as a line the height of a word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from bifurk_service.stats.thinning import thin

WIDTH: Final = 120
HEIGHT: Final = 24
POINTS: Final = 80


def sparkline(values: Sequence[float]) -> str:
    """The ``d`` of an SVG path in a box of ``WIDTH`` by ``HEIGHT``; "" for fewer than two values.

    Values that are not finite break the line.
    """
    every = np.asarray(values, dtype=np.float64)
    every[~np.isfinite(every)] = math.nan
    kept = thin(every, POINTS)
    shown = every[kept]
    if np.isfinite(shown).sum() < 2:
        return ""
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    span = (high - low) or 1.0
    across = kept / max(len(every) - 1, 1) * WIDTH
    parts, is_drawing = [], False
    for x, value in zip(across, shown, strict=True):
        if math.isnan(value):
            is_drawing = False
            continue
        y = HEIGHT - 2 - (value - low) / span * (HEIGHT - 4)
        parts.append(f"{'L' if is_drawing else 'M'}{x:.1f} {y:.1f}")
        is_drawing = True
    return "".join(parts)
