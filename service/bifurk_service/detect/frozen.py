"""``frozen``: no element of a tensor moves although the learning rate is above zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenParameters:
    """Attributes: held: snapshots running without any movement."""

    held: int = 6


class Frozen:
    """Fires once for each stand-still; ``moved_before`` tells a stop from what never moved.

    Snapshots at a learning rate of zero do not count. Where the run does not tell its learning
    rates, it is taken to be training.
    """

    kind: ClassVar[str] = "frozen"
    version: ClassVar[int] = 1

    def __init__(
        self,
        statistic: Statistic,  # noqa: ARG002 -- every detector is made for a statistic
        *,
        parameters: FrozenParameters | None = None,
    ) -> None:
        self._parameters = parameters or FrozenParameters()
        self._seam = Seam(restarts_at_interval=False)
        self._memory = Memory(still=0, moved=False, before=1.0, step_before=-1.0, step_after=0.0)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        memory = self._memory
        if self._seam.passed(clock):
            memory.forget()
        memory.grow(len(values))
        training = not clock.learning_rates or any(rate > 0 for rate in clock.learning_rates)
        known = valid & np.isfinite(values)
        moving = known & (np.where(known, values, 1.0) < 1)
        still = known & ~moving & training
        memory["still"] = np.where(still, memory["still"] + 1, np.where(moving, 0, memory["still"]))
        memory["moved"] = memory["moved"] | moving
        memory["before"] = np.where(moving, values, memory["before"])
        memory["step_before"] = np.where(moving, clock.step, memory["step_before"])
        began = still & (memory["still"] == 1)
        memory["step_after"] = np.where(began, clock.step, memory["step_after"])
        fired = still & (memory["still"] == self._parameters.held)
        return [self._detection(int(series)) for series in np.flatnonzero(fired)]

    def snapshot(self) -> State:
        """See ``Detector``."""
        return {**self._memory.snapshot(), **self._seam.snapshot()}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._memory.restore(state)
        self._seam.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _detection(self, series: int) -> Detection:
        row = {name: self._memory[name][series] for name in ("step_before", "step_after")}
        moved = bool(self._memory["moved"][series])
        return Detection(
            series=series,
            onset_first_step=int(row["step_before"] if moved else row["step_after"]),
            onset_last_step=int(row["step_after"]),
            before=float(self._memory["before"][series]),
            after=1.0,
            score=1.0,
            details={"moved_before": moved, "held": self._parameters.held},
        )
