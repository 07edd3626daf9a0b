"""``collapsed``: the spread of a tensor's values falls to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.history import History
from bifurk_service.detect.medians import masked_median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic

LARGEST_SCORE: Final = 1e6
"""A spread of exactly zero is infinitely far below its past; scores are finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapsedParameters:
    """Attributes: share: of the past's median that counts as nothing. past: values in it."""

    share: float = 1e-3
    past: int = 60


class Collapsed:
    """Fires once when the spread falls below a share of its past, or to exactly zero.

    The past is the median of the spread's latest values above zero, so one wild snapshot neither
    is a collapse nor makes one of the return from it. A fallen series' past is kept, and it can
    fire again once it has risen above the share.
    """

    kind: ClassVar[str] = "collapsed"
    version: ClassVar[int] = 1

    def __init__(
        self,
        statistic: Statistic,  # noqa: ARG002 -- every detector is made for a statistic
        *,
        parameters: CollapsedParameters | None = None,
    ) -> None:
        self._parameters = parameters or CollapsedParameters()
        self._seam = Seam(restarts_at_interval=False)
        self._history = History(self._parameters.past)
        self._memory = Memory(fallen=False)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        if self._seam.passed(clock):
            self._history.forget(np.ones(len(self._history.counts), dtype=np.bool_))
            self._memory.forget()
        self._history.grow(len(values))
        self._memory.grow(len(values))
        known = valid & np.isfinite(values)
        safe = np.where(known, values, 0.0)
        past = self._past(safe)
        fallen = known & (safe < self._parameters.share * past)
        fired = fallen & ~self._memory["fallen"]
        detections = [
            self._detection(int(series), clock, past=past[series], now=safe[series])
            for series in np.flatnonzero(fired)
        ]
        self._memory["fallen"] = np.where(known, fallen, self._memory["fallen"])
        self._history.push(clock.step, safe, known & ~fallen & (safe > 0))
        return detections

    def _past(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The past's median, [S]; 0 where a value is too large for any share of its largest."""
        largest = self._history.values.max(axis=1)
        rows = np.flatnonzero(values < self._parameters.share * largest)
        past = np.zeros(len(values))
        past[rows] = masked_median(self._history.values[rows], self._history.known_in(rows))
        return past

    def snapshot(self) -> State:
        """See ``Detector``."""
        return {**self._history.snapshot(), **self._memory.snapshot(), **self._seam.snapshot()}

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._history.restore(state)
        self._memory.restore(state)
        self._seam.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)

    def _detection(self, series: int, clock: Clock, *, past: float, now: float) -> Detection:
        limit = self._parameters.share * past
        return Detection(
            series=series,
            onset_first_step=int(self._history.steps[series, -1]),
            onset_last_step=clock.step,
            before=float(past),
            after=float(now),
            score=float(limit / now) if now * LARGEST_SCORE > limit else LARGEST_SCORE,
        )
