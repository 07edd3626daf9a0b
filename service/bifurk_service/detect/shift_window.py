"""The newest values of some series, judged together where they share their times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.robust_fit import Array, Mask

LOG_SPAN: Final = 4.0
"""Factor between a window's last and first step from which on its logarithm is tried too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Series that are judged together. shared: whether all have their values at the same steps."""

    rows: NDArray[np.intp]
    shared: bool

    def only(self, chosen: Mask) -> Batch:
        """The chosen ones, bool [S]."""
        return self if chosen.all() else replace(self, rows=self.rows[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """The newest values of a batch, [S, N]; their times and places [1, N] where it shares them."""

    times: Array
    values: Array
    known: Mask

    def axes(self) -> list[Array]:
        """Times, and their logarithms where it spans so much that courses may follow those."""
        latest = self.times[:, -1]
        earliest = np.min(np.where(self.known, self.times, np.inf), axis=1)
        if np.any(latest >= LOG_SPAN * np.maximum(earliest, 1)):
            return [self.times, np.log1p(self.times)]
        return [self.times]

    def some(self, rows: NDArray[np.intp]) -> Window:
        """Of some of the series."""
        if len(rows) == len(self.values):
            return self
        shared = len(self.times) == 1
        return Window(
            times=self.times if shared else self.times[rows],
            values=self.values[rows],
            known=self.known if shared else self.known[rows],
        )
