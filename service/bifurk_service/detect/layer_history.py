"""The last values of every layer of a group, taken at common times, and what they moved by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State
from bifurk_service.detect.history import History
from bifurk_service.detect.medians import median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.role_groups import role_groups
from bifurk_service.detect.seam import Seam
from bifurk_service.domain import Clock, TensorInfo

QUORUM: Final = 0.75
"""A group's time goes on once this share of its layers has a new value: large models send the
values that spectra need in turns, and a few may be lost."""
LONGEST_ABSENCE: Final = 3
"""A layer keeps its last value for so many of its group's rounds; then its past is forgotten."""

Array = NDArray[np.float64]


class LayerHistory:
    """Values of S series on their groups' common time: rounds, mostly one a snapshot.

    Attributes:
        groups: of the tensors seen last.
        history: of each series in a group, the newest round last.
        memory: what a detector remembers beside the values. It grows with them, is forgotten where
            all pasts begin anew, and is put away and taken up with them.
    """

    def __init__(
        self, length: int, memory: Memory, *, restarts_at_interval: bool, least_layers: int
    ) -> None:
        self.history = History(length)
        self.memory = memory
        self.groups = role_groups((), least_layers=least_layers)
        self._least_layers = least_layers
        self._grouped: int | None = None
        self._seam = Seam(restarts_at_interval=restarts_at_interval)
        self._awaited = Memory(latest=0.0, fresh=False, absent=0)

    def take(
        self,
        clock: Clock,
        tensors: Sequence[TensorInfo],
        course: Array,
        known: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Takes values [S]; which groups' time went on, [G]."""
        awaited = self._awaited
        if self._seam.passed(clock):
            self.history.forget(np.ones(len(self.history.counts), dtype=np.bool_))
            awaited.forget()
            self.memory.forget()
        self.history.grow(len(course))
        awaited.grow(len(course))
        self.memory.grow(len(course))
        if self._grouped != len(tensors):
            self.groups = role_groups(tensors, least_layers=self._least_layers)
            self._grouped = len(tensors)
        awaited["latest"] = np.where(known, course, awaited["latest"])
        awaited["fresh"] = awaited["fresh"] | known
        return self._next_round(clock.step)

    def snapshot(self) -> State:
        """A copy of everything."""
        return {
            **self.history.snapshot(),
            **self._seam.snapshot(),
            **self._awaited.snapshot(),
            **self.memory.snapshot(),
        }

    def restore(self, state: State) -> None:
        """Takes up what ``snapshot`` gave."""
        self.history.restore(state)
        self._seam.restore(state)
        self._awaited.restore(state)
        self.memory.restore(state)
        self._grouped = None

    def taking_part(self, rounds: int) -> NDArray[np.bool_]:
        """Which layers have values of so many rounds, [G, L]."""
        groups = self.groups
        return groups.mask & (self.history.counts[groups.members] >= rounds)

    def moved(self, window: int, *, ends: int, ago: int = 0) -> Array:
        """What every layer moved by within ``window`` rounds, as of ``ago`` rounds ago, [G, L].

        The median of the window's last ``ends`` values less that of its first.
        """
        last = self.history.length - ago
        values = self.history.values[:, last - window : last]
        change = median(values[:, -ends:]) - median(values[:, :ends])
        return change[self.groups.members]

    def _next_round(self, step: int) -> NDArray[np.bool_]:
        awaited, history, groups = self._awaited, self.history, self.groups
        fresh = awaited["fresh"][groups.members] & groups.mask
        present = fresh | (history.counts[groups.members] > 0) & groups.mask
        goes_on: NDArray[np.bool_] = fresh.any(axis=1) & (
            fresh.sum(axis=1) >= QUORUM * present.sum(axis=1)
        )
        moved = np.zeros(len(awaited["fresh"]), dtype=np.bool_)
        moved[groups.members[present & goes_on[:, None]]] = True
        absent = np.where(awaited["fresh"], 0, awaited["absent"] + 1)
        awaited["absent"] = np.where(moved, absent, awaited["absent"])
        history.push(step, awaited["latest"], moved)
        lost = moved & (awaited["absent"] > LONGEST_ABSENCE)
        if lost.any():
            history.forget(lost)
        awaited["fresh"] = awaited["fresh"] & ~moved
        return goes_on
