"""The last values of many series, right-aligned: the memory detectors share."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State

MOST_EDGES: Final = 32
"""Between rows with and without a value, up to which rows are moved stretch by stretch."""


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

    def known_in(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which places of some of the series hold a value, bool [R, length]."""
        missing = self.length - self.counts[rows, None]
        places: NDArray[np.bool_] = np.arange(self.length) >= missing
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
        shift_in(self.steps, float(step), valid)
        shift_in(self.values, values, valid)
        self.counts = np.minimum(self.counts + valid, self.length)

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


def shift_in(
    ring: NDArray[np.float64], newest: NDArray[np.float64] | float, valid: NDArray[np.bool_]
) -> None:
    """Puts a value behind those of every valid row, whose oldest goes; other rows stay untouched.

    Args:
        ring: float64 [S, N].
        newest: float64 [S], or one for all. valid: bool [S].
    """
    edges = np.flatnonzero(valid[1:] != valid[:-1]) + 1
    values = np.broadcast_to(newest, len(ring))
    if len(edges) > MOST_EDGES or not ring.flags.c_contiguous:
        rows = np.flatnonzero(valid)
        ring[rows, :-1] = ring[rows, 1:]
        ring[rows, -1] = values[rows]
        return
    bounds = [0, *edges.tolist(), len(ring)]
    for first, last in pairwise(bounds):
        if first < last and valid[first]:
            # Rows in one piece: what moves into a row's end from the next is its newest's place.
            flat = ring[first:last].reshape(-1)
            flat[:-1] = flat[1:]
            ring[first:last, -1] = values[first:last]


def _with_rows(
    array: NDArray[np.float64], rows: NDArray[np.int64], *, of: int
) -> NDArray[np.float64]:
    """An array of so many rows, only these of which are written.

    The rest is zero, and takes no memory until it is written to: no machine gives pages before.
    """
    longer = np.zeros((of, array.shape[1]))
    longer[rows] = array[rows]
    return longer
