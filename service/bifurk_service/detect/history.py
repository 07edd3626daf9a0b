"""The last values of many series, right-aligned: the memory detectors share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import State

Steps: TypeAlias = NDArray[np.int32 | np.float64]
LARGEST_SHORT: Final = 2**31 - 1
"""Step up to which steps take half of what values do."""
Newest: TypeAlias = NDArray[np.float64] | float
MOST_EDGES: Final = 32
"""Between rows with and without a value, up to which rows are moved stretch by stretch."""


class History:
    """The last ``length`` known values of S series and the steps they were taken at.

    The newest value stands last; where a series has fewer, ``known`` is False on the left. A
    series without a value at a snapshot is left as it was, so neighbours in ``values`` are
    neighbours in what is known, however far apart in time.

    Attributes:
        steps: int32 [S, length], float64 once a step needs it; zero where not known.
        values: float64 [S, length]; zero where not known.
        counts: int64 [S], how many are known.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.steps: Steps = np.zeros((0, length), dtype=np.int32)
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
        if step > LARGEST_SHORT:
            self.steps = self.steps.astype(np.float64, copy=False)
        shift_in(valid, (self.steps, float(step)), (self.values, values))
        self.counts = np.minimum(self.counts + valid, self.length)

    def forget(self, series: NDArray[np.bool_], *, keep: NDArray[np.int64] | int = 0) -> None:
        """Drops all but the newest ``keep`` values of the chosen series, bool [S]."""
        rows = np.flatnonzero(series & (self.counts > keep))
        self.counts = np.where(series, np.minimum(self.counts, keep), self.counts)
        known = self.known_in(rows)
        self.steps[rows] = np.where(known, self.steps[rows], 0.0)
        self.values[rows] = np.where(known, self.values[rows], 0.0)

    def snapshot(self) -> State:
        """A copy of everything, steps as float64."""
        return {
            "steps": self.steps.astype(np.float64),
            "values": self.values.copy(),
            "counts": self.counts.copy(),
        }

    def restore(self, state: State) -> None:
        """Takes up what ``snapshot`` gave."""
        self.counts = state["counts"].copy()
        rows = np.flatnonzero(self.counts)
        steps = state["steps"]
        if steps.max(initial=0) <= LARGEST_SHORT:
            steps = steps.astype(np.int32)
        self.steps = _with_rows(steps, rows, of=len(self.counts))
        self.values = _with_rows(state["values"], rows, of=len(self.counts))


def shift_in(valid: NDArray[np.bool_], *rings: tuple[NDArray[Any], Newest]) -> None:
    """Puts a value behind those of every valid row, whose oldest goes; other rows stay untouched.

    Args:
        valid: bool [S]. rings: values [S, N] and what comes, float64 [S] or one for all.
    """
    stretches = _stretches(valid)
    for ring, newest in rings:
        if stretches is None or not ring.flags.c_contiguous:
            rows = np.flatnonzero(valid)
            ring[rows, :-1] = ring[rows, 1:]
            ring[rows, -1] = newest if isinstance(newest, float) else newest[rows]
            continue
        for some in stretches:
            # In one piece: what moves into a row's end from the next is its newest's place.
            flat = ring[some].reshape(-1)
            flat[:-1] = flat[1:]
            ring[some, -1] = newest if isinstance(newest, float) else newest[some]


def _stretches(valid: NDArray[np.bool_]) -> list[slice] | None:
    """The rows with a value, or None where they are too scattered."""
    edges = (np.flatnonzero(valid[1:] != valid[:-1]) + 1).tolist()
    if len(edges) > MOST_EDGES:
        return None
    bounds = pairwise([0, *edges, len(valid)])
    return [slice(*one) for one in bounds if one[0] < one[1] and valid[one[0]]]


def _with_rows(array: NDArray[Any], rows: NDArray[np.int64], *, of: int) -> NDArray[Any]:
    """An array of so many rows, only these of which are written.

    The rest is zero, and takes no memory until it is written to: no machine gives pages before.
    """
    longer = np.zeros((of, array.shape[1]), dtype=array.dtype)
    longer[rows] = array[rows]
    return longer
