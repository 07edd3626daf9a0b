"""``spectral_outlier``: directions appear in a spectrum, or vanish, that random entries lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic

LARGEST_COUNT: Final = 1e15
"""Whole numbers up to here are exact in float64; no matrix has so many directions."""
MOST_DOUBLINGS: Final = 6
DIRECTIONS: Final = ("", "appears", "vanishes")
APPEARS: Final = 1
VANISHES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralOutlierParameters:
    """What counts as a change of the number of outliers.

    Attributes:
        held: spectra running that must show it; every change told of a matrix doubles this.
        joined: outliers that must join where there were some before, and they must double.
    """

    held: int = 2
    joined: int = 3


class SpectralOutlier:
    """Fires when the outliers of a matrix appear, become many more, or all vanish, and stay so.

    Spectra come rarely, so everything is counted in spectra, not in snapshots. The number at the
    first spectrum is the one to be held against; after a change was told, the new one.
    """

    kind: ClassVar[str] = "spectral_outlier"
    version: ClassVar[int] = 1

    def __init__(
        self,
        statistic: Statistic,  # noqa: ARG002 -- every detector is made for a statistic
        *,
        parameters: SpectralOutlierParameters | None = None,
    ) -> None:
        self._parameters = parameters or SpectralOutlierParameters()
        self._seam = Seam(restarts_at_interval=False)
        self._memory = Memory(
            baseline=-1.0,
            direction=0,
            running=0,
            first_in_sequence=0,
            told=0,
            step_before=0.0,
            step_after=0.0,
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        memory = self._memory
        if self._seam.passed(clock):
            memory.forget()
        memory.grow(len(values))
        known = valid & (values >= 0) & (values < LARGEST_COUNT)
        counts = np.where(known, values, 0.0)
        memory["baseline"] = np.where(known & (memory["baseline"] < 0), counts, memory["baseline"])
        self._follow(clock, known, self._direction(counts))
        doublings = np.minimum(memory["told"], MOST_DOUBLINGS)
        fired = known & (memory["running"] >= self._parameters.held * 2**doublings)
        found = [
            self._detection(int(series), clock, counts[series]) for series in np.flatnonzero(fired)
        ]
        memory["baseline"] = np.where(fired, counts, memory["baseline"])
        memory["told"] += fired
        memory["running"] = np.where(fired, 0, memory["running"])
        return found

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

    def _direction(self, counts: NDArray[np.float64]) -> NDArray[np.int64]:
        baseline = self._memory["baseline"]
        needed = self._needed(baseline)
        vanished = (baseline > 0) & (counts == 0)
        return np.where(counts >= needed, APPEARS, np.where(vanished, VANISHES, 0))

    def _needed(self, baseline: NDArray[np.float64]) -> NDArray[np.float64]:
        """The number from which on outliers have appeared."""
        many = np.maximum(baseline + self._parameters.joined, 2 * baseline)
        return np.where(baseline > 0, many, 1.0)

    def _follow(self, clock: Clock, known: NDArray[np.bool_], direction: NDArray[np.int64]) -> None:
        memory = self._memory
        goes_on = (direction > 0) & (direction == memory["direction"])
        running = np.where(goes_on, memory["running"] + 1, (direction > 0).astype(np.int64))
        began = known & (running == 1)
        memory["running"] = np.where(known, running, memory["running"])
        memory["direction"] = np.where(known, direction, memory["direction"])
        memory["step_after"] = np.where(began, clock.step, memory["step_after"])
        memory["first_in_sequence"] = np.where(began, clock.sequence, memory["first_in_sequence"])
        memory["step_before"] = np.where(known & (running == 0), clock.step, memory["step_before"])

    def _detection(self, series: int, clock: Clock, count: float) -> Detection:
        memory = self._memory
        baseline, direction = memory["baseline"][series], int(memory["direction"][series])
        needed = float(self._needed(np.array([baseline]))[0])
        # A second change may follow the first without a spectrum between them that shows neither.
        first = min(memory["step_before"][series], memory["step_after"][series])
        return Detection(
            series=series,
            onset_first_step=int(first),
            onset_last_step=int(memory["step_after"][series]),
            before=float(baseline),
            after=float(count),
            score=float(count / needed) if direction == APPEARS else 1.0,
            details={
                "direction": DIRECTIONS[direction],
                "count": int(count),
                "snapshots_since_onset": clock.sequence
                - int(memory["first_in_sequence"][series])
                + 1,
            },
        )
