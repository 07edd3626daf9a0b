"""``non_finite``: NaN or infinite values appear in a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.memory import Memory
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic


class NonFinite:
    """Fires at the snapshot whose count is above zero where the one before was not.

    No threshold and no past are needed, so a first snapshot that has some fires as well.
    """

    kind: ClassVar[str] = "non_finite"
    version: ClassVar[int] = 1

    def __init__(self, statistic: Statistic) -> None:  # noqa: ARG002 -- as every detector
        self._memory = Memory(bad=False, clean_step=-1.0)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        memory = self._memory
        memory.grow(len(values))
        known = valid & np.isfinite(values)
        bad = known & (np.where(known, values, 0.0) > 0)
        fired = bad & ~memory["bad"]
        detections = [
            self._detection(int(series), clock, values[series]) for series in np.flatnonzero(fired)
        ]
        memory["bad"] = np.where(known, bad, memory["bad"])
        memory["clean_step"] = np.where(known & ~bad, clock.step, memory["clean_step"])
        return detections

    def snapshot(self) -> State:
        """See ``Detector``."""
        return self._memory.snapshot()

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._memory.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``; there are none."""
        return {}

    def _detection(self, series: int, clock: Clock, count: float) -> Detection:
        clean = int(self._memory["clean_step"][series])
        return Detection(
            series=series,
            onset_first_step=clean if clean >= 0 else clock.step,
            onset_last_step=clock.step,
            before=0.0,
            after=float(count),
            score=max(float(count), 1.0),
        )
