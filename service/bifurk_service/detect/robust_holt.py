"""A robust Holt filter over many series: what the next value should be, and how far it was off.

Level and trend follow the values, wild ones pulled in (as Gelper, Fried and Croux 2010, Robust
forecasting with exponential and Holt-Winters smoothing). Two wild ones in a row on the same side
are a new level, which is taken up at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bifurk_service.detect.memory import Memory
from bifurk_service.detect.robust_fit import Array, Mask

TREND_SMOOTHING: Final = 0.02
SCALE_SMOOTHING: Final = 0.05
WIDTH: Final = 3.0
"""Innovations beyond this many standard deviations are pulled in."""
WARM: Final = 6
"""Innovations after which the scale is believed."""
UNPULLED: Final = 3
"""Innovations that make the first scale."""
STILL: Final = 6
"""A series that kept one value this long and then moves has no noise to be compared with."""
GRID_MEMORY: Final = 60
"""Values over which the share of exact repeats is averaged."""
GAUSSIAN_MEAN_DEVIATION: Final = 1.2533
"""Standard deviation over mean absolute deviation of a Gaussian."""


class RobustHolt:
    """Level, trend and scale of S series.

    Attributes of the memory that callers read: ``seen``, values taken since the last restart;
    ``repeats``, the share of values equal to the one before.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self.memory = Memory(
            seen=0, level=0.0, trend=0.0, scale=0.0, last=0.0, side=0.0, still=0, repeats=0.0
        )

    def innovations(self, values: Array, known: Mask) -> tuple[Array, Mask, Mask]:
        """Takes one value of every known series.

        Returns:
            What the values are more than foretold, [S]; where that is to be believed, bool [S];
            and which series began anew, bool [S].
        """
        memory = self.memory
        same = known & (memory["seen"] > 0) & (values == memory["last"])
        anew = known & ~same & (memory["still"] >= STILL)
        for name in ("seen", "scale", "trend", "side", "repeats"):
            memory[name] = np.where(anew, 0, memory[name])
        memory["still"] = np.where(known, np.where(same, memory["still"] + 1, 0), memory["still"])
        first = known & (memory["seen"] == 0)
        memory["level"] = np.where(first, values, memory["level"])
        off = np.where(known, values - memory["level"] - memory["trend"], 0.0)
        follows = known & ~first
        believed = follows & (memory["seen"] > WARM)
        self._follow(off, follows, same)
        memory["last"] = np.where(known, values, memory["last"])
        memory["seen"] += known
        return off, believed, anew

    def _follow(self, off: Array, follows: Mask, same: Mask) -> None:
        memory = self.memory
        seen, scale = memory["seen"], memory["scale"]
        early = seen < WARM
        wild = np.abs(off) > WIDTH * scale
        moved = wild & (np.sign(off) == memory["side"]) & ~early
        pulled = np.clip(off, -WIDTH * scale, WIDTH * scale)
        at_first = np.maximum(self._smoothing, 1 / np.maximum(seen, 1)) * off
        step = np.where(early, at_first, np.where(moved, off, self._smoothing * pulled))
        bend = TREND_SMOOTHING * self._smoothing * np.where(early, off, pulled)
        rate = np.maximum(SCALE_SMOOTHING, 1 / np.maximum(seen, 1))
        size = GAUSSIAN_MEAN_DEVIATION * np.abs(np.where(seen <= UNPULLED, off, pulled))
        for name, change in (
            ("level", memory["trend"] + step),
            ("trend", bend),
            ("scale", rate * (size - scale)),
            ("repeats", (same - memory["repeats"]) / np.clip(seen, 1, GRID_MEMORY)),
        ):
            memory[name] = memory[name] + np.where(follows, change, 0.0)
        memory["side"] = np.where(follows, np.where(wild, np.sign(off), 0.0), memory["side"])
