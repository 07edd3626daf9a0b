"""``mode_split``: the density of a tensor's values goes from one mode to several."""

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
class ModeSplitParameters:
    """Thresholds on the dip over its own threshold.

    Attributes:
        threshold: above it there is more than one mode.
        held: snapshots running above it before it counts.
        released: snapshots running below it before a split can count again.
    """

    threshold: float = 1.0
    held: int = 2
    released: int = 6


class ModeSplit:
    """Fires once where a series that was below the threshold stays above it.

    A tensor with several modes from its first snapshot on has not split: it must have one first.
    """

    kind: ClassVar[str] = "mode_split"
    version: ClassVar[int] = 1

    def __init__(
        self,
        statistic: Statistic,  # noqa: ARG002 -- every detector is made for a statistic
        *,
        parameters: ModeSplitParameters | None = None,
    ) -> None:
        self._parameters = parameters or ModeSplitParameters()
        self._seam = Seam(restarts_at_interval=False)
        self._memory = Memory(
            armed=False, above=0, below=0, before=0.0, step_before=0.0, step_after=0.0
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        memory, parameters = self._memory, self._parameters
        if self._seam.passed(clock):
            memory.forget()
        memory.grow(len(values))
        known = valid & np.isfinite(values)
        safe = np.where(known, values, 0.0)
        over, under = known & (safe > parameters.threshold), known & (safe <= parameters.threshold)
        self._count(over, under)
        self._remember(clock.step, safe, over, under)
        fired = memory["armed"] & over & (memory["above"] >= parameters.held)
        memory["armed"] &= ~fired
        return [self._detection(int(series), safe[series]) for series in np.flatnonzero(fired)]

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

    def _count(self, over: NDArray[np.bool_], under: NDArray[np.bool_]) -> None:
        memory = self._memory
        memory["above"] = np.where(over, memory["above"] + 1, np.where(under, 0, memory["above"]))
        memory["below"] = np.where(under, memory["below"] + 1, np.where(over, 0, memory["below"]))
        never_fired = memory["step_before"] == 0
        first_mode = under & (never_fired | (memory["below"] >= self._parameters.released))
        memory["armed"] = memory["armed"] | first_mode

    def _remember(
        self,
        step: int,
        values: NDArray[np.float64],
        over: NDArray[np.bool_],
        under: NDArray[np.bool_],
    ) -> None:
        memory = self._memory
        crossed = over & (memory["above"] == 1)
        memory["step_after"] = np.where(crossed, step, memory["step_after"])
        memory["step_before"] = np.where(under, step, memory["step_before"])
        memory["before"] = np.where(under, values, memory["before"])

    def _detection(self, series: int, value: float) -> Detection:
        memory = self._memory
        return Detection(
            series=series,
            onset_first_step=int(memory["step_before"][series]),
            onset_last_step=int(memory["step_after"][series]),
            before=float(memory["before"][series]),
            after=float(value),
            score=float(value) / self._parameters.threshold,
        )
