"""``shape_change``: a tensor's distribution becomes one of another kind, and stays so."""

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

NONE: Final = -1
"""Stands for a class not known yet."""
OTHER: Final = "other"
"""The class of what is none of the others: no shape that a tensor could have changed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeChangeParameters:
    """Snapshots running.

    Attributes:
        held: the new class must hold. settled: the class before must have held.
        released: a class must hold before a change between the same two is told again.
    """

    held: int = 3
    settled: int = 6
    released: int = 24


class ShapeChange:
    """Fires once when another class than the settled one holds.

    A tensor at the border between two classes goes to and fro: that is told once.
    """

    kind: ClassVar[str] = "shape_change"
    version: ClassVar[int] = 1

    def __init__(
        self, statistic: Statistic, *, parameters: ShapeChangeParameters | None = None
    ) -> None:
        self._labels = statistic.labels
        self._named = np.array([label != OTHER for label in statistic.labels], dtype=np.bool_)
        self._parameters = parameters or ShapeChangeParameters()
        self._seam = Seam(restarts_at_interval=False)
        self._memory = Memory(
            running=NONE,
            run=0,
            settled=NONE,
            told=np.array([NONE, NONE]),
            last_step=0.0,
            step_before=0.0,
            step_after=0.0,
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a value that names no class is none."""
        memory = self._memory
        if self._seam.passed(clock):
            memory.forget()
        memory.grow(len(values))
        known = valid & (values >= 0) & (values < len(self._labels))
        classes = np.where(known, values, NONE).astype(np.int64)
        known &= self._named[classes]
        self._follow(clock.step, known, classes)
        fired = known & self._has_changed()
        found = [self._detection(int(series)) for series in np.flatnonzero(fired)]
        self._settle(fired)
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

    def _follow(self, step: int, known: NDArray[np.bool_], classes: NDArray[np.int64]) -> None:
        memory = self._memory
        other = known & (classes != memory["running"])
        begins = np.where(memory["running"] == NONE, step, memory["last_step"])
        memory["step_before"] = np.where(other, begins, memory["step_before"])
        memory["step_after"] = np.where(other, step, memory["step_after"])
        memory["run"] = np.where(other, 1, memory["run"] + known)
        memory["running"] = np.where(known, classes, memory["running"])
        memory["last_step"] = np.where(known, step, memory["last_step"])

    def _has_changed(self) -> NDArray[np.bool_]:
        memory = self._memory
        settled, running = memory["settled"], memory["running"]
        pair = np.sort(np.stack([settled, running], axis=1), axis=1)
        told = (pair == memory["told"]).all(axis=1)
        changed: NDArray[np.bool_] = (
            (memory["run"] == self._parameters.held)
            & (settled != NONE)
            & (settled != running)
            & ~told
        )
        return changed

    def _settle(self, fired: NDArray[np.bool_]) -> None:
        memory = self._memory
        pair = np.sort(np.stack([memory["settled"], memory["running"]], axis=1), axis=1)
        released = memory["run"] >= self._parameters.released
        memory["told"] = np.where(fired[:, None], pair, memory["told"])
        memory["told"] = np.where(released[:, None], NONE, memory["told"])
        settles = memory["run"] >= self._parameters.settled
        memory["settled"] = np.where(settles, memory["running"], memory["settled"])

    def _detection(self, series: int) -> Detection:
        memory = self._memory
        before, after = int(memory["settled"][series]), int(memory["running"][series])
        return Detection(
            series=series,
            onset_first_step=int(memory["step_before"][series]),
            onset_last_step=int(memory["step_after"][series]),
            before=float(before),
            after=float(after),
            score=1.0,
            details={
                "from": self._labels[before],
                "to": self._labels[after],
                "snapshots_since_onset": self._parameters.held,
            },
        )
