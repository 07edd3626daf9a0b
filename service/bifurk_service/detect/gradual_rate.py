"""The part of the learning rate's course that is gradual: warm-ups and decays, without the leaps.

Motion follows the learning rate. Where a schedule bends, as at the end of a cosine that runs to
zero, motion leaves its course with it, and nothing has happened. An abrupt change is no schedule's
bend: what follows it is to be seen.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bifurk_service.detect.base import State
from bifurk_service.domain import Clock

LARGEST_GRADUAL: Final = math.log(1.5)
"""Of the logarithm from one snapshot to the next; a raise by half is named as a cause of alerts."""
STEEPENING: Final = 2.0
"""A larger change is gradual still if it goes on as the last did, by up to so many times as much:
the end of a cosine that runs to zero."""


class GradualRate:
    """Sums up the gradual changes of the largest learning rate's logarithm."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._change = 0.0
        self._course = 0.0

    def take(self, clock: Clock) -> float:
        """The course at this snapshot, in nats, from an arbitrary zero."""
        rate = max(clock.learning_rates, default=0.0)
        if self._rate > 0 and rate > 0:
            change = math.log(rate / self._rate)
            steepening = abs(change) <= STEEPENING * math.copysign(
                self._change, change * self._change
            )
            self._course += change if abs(change) < LARGEST_GRADUAL or steepening else 0.0
            self._change = change
        self._rate = rate
        return self._course

    def snapshot(self) -> State:
        """A copy of the memory."""
        return {"gradual_rate": np.array([self._rate, self._change, self._course])}

    def restore(self, state: State) -> None:
        """Takes up what ``snapshot`` gave."""
        self._rate, self._change, self._course = state["gradual_rate"].tolist()
