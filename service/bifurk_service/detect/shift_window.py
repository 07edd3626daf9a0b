"""The newest values of some series, judged together where they share their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.history import History
from bifurk_service.detect.leap import LEAP_SPAN
from bifurk_service.detect.robust_fit import Array, Mask

LOG_SPAN: Final = 4.0
"""Factor between a window's last and first step from which on its logarithm is tried too."""
FEW: Final = 32
"""Series up to which a batch for those of other times takes more than times for each of all."""


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
        """Times, and their logarithms where it spans so much that courses may follow those.

        Series that do not span so much keep their times there too.
        """
        latest = self.times[:, -1]
        earliest = np.min(np.where(self.known, self.times, np.inf), axis=1)
        spans = latest >= LOG_SPAN * np.maximum(earliest, 1)
        if not spans.any():
            return [self.times]
        return [self.times, np.where(spans[:, None], np.log1p(self.times), self.times)]

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


def reach_of(scales: Sequence[int], length: int) -> int:
    """How many of the newest values the medians on either side of an onset may be of.

    Args:
        scales: see ``RegimeShiftParameters``; those count that ``length`` values suffice for.
    """
    judged = [scale for scale in scales if 4 * scale <= length]
    return 3 * max([LEAP_SPAN, *judged])


def moved_enough(
    history: History, rows: NDArray[np.intp], *, reach: int, least: float
) -> NDArray[np.intp]:
    """The rows whose newest ``reach`` values are ``least`` apart, so that medians of some can be.

    Of others no shift is told, whatever stands out in them: no course need be fitted to them.
    """
    newest, counts = history.values[rows, -reach:], history.counts[rows, None]
    if counts.min(initial=reach) < reach:
        newest = np.where(np.arange(reach) >= reach - counts, newest, newest[:, -1:])
    moved: NDArray[np.intp] = rows[np.ptp(newest, axis=1) >= least]
    return moved


def batches_of(history: History, rows: NDArray[np.intp]) -> list[Batch]:
    """The rows that have their values when the longest of them has, and the others."""
    if not len(rows):
        return []
    counts, steps = history.counts[rows], history.steps[rows]
    longest = np.argmax(counts)
    alike = (counts == counts[longest]) & (steps == steps[longest]).all(axis=1)
    if alike.all():
        return [Batch(rows=rows, shared=True)]
    if len(rows) <= FEW:
        return [Batch(rows=rows, shared=False)]
    return [Batch(rows=rows[alike], shared=True), Batch(rows=rows[~alike], shared=False)]
