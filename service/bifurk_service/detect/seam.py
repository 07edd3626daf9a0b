"""Where a series' past ends by the run's own doing: a resume, or another snapshot interval."""

from __future__ import annotations

from typing import Final

import numpy as np

from bifurk_service.detect.base import State
from bifurk_service.domain import Clock

INTERVAL_TOLERANCE: Final = 1.25
"""Intervals whose ratio stays below this count as one; the client's own changes double it."""


class Seam:
    """Tells when detectors must forget: at a resume, and for motion where the interval changes.

    Motion is measured between two snapshots, so its size depends on the steps between them.
    """

    def __init__(self, *, restarts_at_interval: bool) -> None:
        self._restarts_at_interval = restarts_at_interval
        self._last: tuple[int, int] | None = None
        self._interval = 0.0

    def passed(self, clock: Clock) -> bool:
        """Whether a seam lies between the snapshot before and this one."""
        interval = self._steps_per_snapshot(clock)
        kinds = {mark.kind for mark in clock.marks}
        changed = _differ(interval, self._interval) or "interval" in kinds
        self._last, self._interval = (clock.sequence, clock.step), interval or self._interval
        return "resume" in kinds or (self._restarts_at_interval and changed)

    def snapshot(self) -> State:
        """A copy of the memory."""
        sequence, step = self._last or (-1, -1)
        return {"clock": np.array([sequence, step, self._interval], dtype=np.float64)}

    def restore(self, state: State) -> None:
        """Takes up what ``snapshot`` gave."""
        sequence, step, interval = state["clock"].tolist()
        self._last = None if sequence < 0 else (int(sequence), int(step))
        self._interval = interval

    def _steps_per_snapshot(self, clock: Clock) -> float:
        if self._last is None:
            return 0.0
        sequence, step = self._last
        return (clock.step - step) / max(clock.sequence - sequence, 1)


def _differ(new: float, old: float) -> bool:
    if not new or not old:
        return False
    return max(new / old, old / new) >= INTERVAL_TOLERANCE
