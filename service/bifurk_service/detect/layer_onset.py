"""When a layer began to part from others: the interval in which its distance left the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.history import Steps
from bifurk_service.detect.robust_fit import GAUSSIAN_MAD, SECOND_DIFFERENCE_SD

STILL_BEFORE, SURELY_AFTER = 2.0, 4.0
"""In standard deviations of the distance's noise."""
BEFORE_SHARES, AFTER_SHARES = (0.05, 0.25), (0.1, 0.5)
"""Of the whole change, at least and at most: distances drift a little, and noise may be wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOnset:
    """It began in the closed interval from one step to the other.

    Attributes:
        first_step: of the last round known to be before. last_step: of the first known to be after.
        rounds: from the latter to now, both counted.
    """

    first_step: int
    last_step: int
    rounds: int


def layer_onset(steps: Steps, distance: NDArray[np.float64], *, past: int) -> LayerOnset:
    """The onset of the change of a distance between its first ``past`` rounds and now.

    Args:
        steps: [N], of the rounds.
        distance: float64 [N], of the layer from those it parts from.
        past: how many of the first rounds are known to lie before the change, at least 1.
    """
    base = float(np.median(distance[:past]))
    change = float(np.median(distance[-3:])) - base
    course = (distance - base) * (1.0 if change >= 0 else -1.0)
    second = np.abs(np.diff(distance, n=2))
    sigma = GAUSSIAN_MAD * max(
        float(np.median(second)) / SECOND_DIFFERENCE_SD, float(np.median(np.abs(course[:past])))
    )
    still, surely = (
        min(max(width * sigma, least * abs(change)), most * abs(change))
        for width, (least, most) in ((STILL_BEFORE, BEFORE_SHARES), (SURELY_AFTER, AFTER_SHARES))
    )
    not_after = np.flatnonzero(course <= surely)
    after = min(int(not_after[-1]) + 1 if len(not_after) else past, len(course) - 1)
    before = np.flatnonzero(course[:after] <= still)
    earliest = int(before[-1]) if len(before) else max(past - 1, 0)
    return LayerOnset(
        first_step=int(steps[min(earliest, after)]),
        last_step=int(steps[after]),
        rounds=len(course) - after,
    )
