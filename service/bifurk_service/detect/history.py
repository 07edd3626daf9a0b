"""The last values of many series, right-aligned: the memory detectors share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State


class History:
    """The last ``length`` known values of S series and the steps they were taken at.

    The newest value stands last; where a series has fewer, ``known`` is False on the left. A
    series without a value at a snapshot is left as it was, so neighbours in ``values`` are
    neighbours in what is known, however far apart in time.

    Attributes:
        steps, values: float64 [S, length]; zero where not known.
        counts: int64 [S], how many are known.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.steps = np.zeros((0, length))
        self.values = np.zeros((0, length))
        self.counts = np.zeros(0, dtype=np.int64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which places hold a value, bool [S, length]."""
        places: NDArray[np.bool_] = (
            np.arange(self.length)[None, :] >= self.length - self.counts[:, None]
        )
        return places

    def grow(self, series: int) -> None:
        """Adds empty series at the end until there are that many."""
        added = series - len(self.counts)
        if added < 0:
            raise ValueError(f"series are only ever added: {len(self.counts)} before, now {series}")
        if added:
            rows = np.arange(len(self.counts))
            self.steps = _with_rows(self.steps, rows, of=series)
            self.values = _with_rows(self.values, rows, of=series)
            self.counts = np.concatenate([self.counts, np.zeros(added, dtype=np.int64)])

    def push(self, step: int, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
        """Takes one value of every valid series; values float64 [S], valid bool [S]."""
        moved = np.flatnonzero(valid)
        for ring, new in ((self.steps, float(step)), (self.values, values[moved])):
            ring[moved, :-1] = ring[moved, 1:]
            ring[moved, -1] = new
        self.counts[moved] = np.minimum(self.counts[moved] + 1, self.length)

    def forget(self, series: NDArray[np.bool_], *, keep: NDArray[np.int64] | int = 0) -> None:
        """Drops all but the newest ``keep`` values of the chosen series, bool [S]."""
        rows = np.flatnonzero(series & (self.counts > keep))
        self.counts = np.where(series, np.minimum(self.counts, keep), self.counts)
        known = self.known[rows]
        self.steps[rows] = np.where(known, self.steps[rows], 0.0)
        self.values[rows] = np.where(known, self.values[rows], 0.0)

    def snapshot(self) -> State:
        """A copy of everything."""
        return {
            "steps": self.steps.copy(),
            "values": self.values.copy(),
            "counts": self.counts.copy(),
        }

    def restore(self, state: State) -> None:
        """Takes up what ``snapshot`` gave."""
        self.counts = state["counts"].copy()
        rows = np.flatnonzero(self.counts)
        self.steps = _with_rows(state["steps"], rows, of=len(self.counts))
        self.values = _with_rows(state["values"], rows, of=len(self.counts))


def _with_rows(
    array: NDArray[np.float64], rows: NDArray[np.int64], *, of: int
) -> NDArray[np.float64]:
    """An array of so many rows, only these of which are written.

    The rest is zero, and takes no memory until it is written to: no machine gives pages before.
    """
    longer = np.zeros((of, array.shape[1]))
    longer[rows] = array[rows]
    return longer
