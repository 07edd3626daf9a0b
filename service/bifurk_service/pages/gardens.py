"""Densities of a tensor over steps, read for its garden: bounded in time and in memory.

One snapshot's part holds every tensor, and decoding it for one costs the whole part: 7 ms of a core
(77 tensors of 0.3 million float32 parameters, 1.25 MB), 1 ms more for the distribution, under 1 ms
for the density; 101 snapshots a second. So at most ``MOST_COLUMNS`` are read for a picture, evenly
over the axis that is shown, and what was read is kept: a measured snapshot does not change.
Of a model whose parts are so large that ``MOST_BYTES`` would not give ``LEAST_COLUMNS``
columns none are read, and the garden is drawn from the stored quantiles, which are there for every
step.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.api.stored_parts import stored_distribution
from bifurk_service.errors import NotFoundError, StorageError
from bifurk_service.figures.step_axis import StepScale, place
from bifurk_service.services import Services
from bifurk_service.stats.distributions.density import DensityUnit, density, nothing_to_draw
from bifurk_service.store.models import Snapshot, Tensor

MOST_COLUMNS: Final = 120
LEAST_COLUMNS: Final = 24
MOST_BYTES: Final = 192 << 20
"""Of stored parts decoded for one garden: about two seconds."""
BINS: Final = (16, 140)
"""Fewest and most; a small tensor has few values to a bin."""
MOST_KEPT: Final = 40_000
"""Columns: of 140 float32 each, 30 MB with what surrounds them."""
MOST_HALVINGS: Final = 80
"""Strides tried; where most of the steps lie together far fewer do."""
WANTED_A_COLUMN: Final = 64
"""On a logarithmic axis many places share a step."""
SNAPPED_TO: Final = 1 / 16
"""Of the range's power of two: ends move in such strides, so that columns last as a run grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Equal bins from ``low`` to ``high`` in a unit."""

    unit: DensityUnit
    low: float
    high: float
    bins: int

    @classmethod
    def around(cls, low: float, high: float, unit: DensityUnit, *, count: float) -> Grid:
        """A grid with some room around ``count`` values; equal ones get room in proportion."""
        if not low < high:
            low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
        stride = 2.0 ** math.floor(math.log2(high - low)) * SNAPPED_TO
        low, high = math.floor(low / stride - 0.5), math.ceil(high / stride + 0.5)
        bins = int(np.clip(2 * math.sqrt(count), *BINS))
        return cls(unit=unit, low=low * stride, high=high * stride, bins=bins)

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 [bins + 1]."""
        return np.linspace(self.low, self.high, self.bins + 1)


class ColumnCache:
    """Densities read last, the least recently used given up first; thread-safe."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int, Grid], NDArray[np.float32]] = OrderedDict()

    def column(
        self, house: Services, snapshot: Snapshot, tensor: Tensor, grid: Grid
    ) -> NDArray[np.float32]:
        """The density over a grid's bins, float32 [bins]; NaN where there is none to draw.

        Not to be changed.
        """
        key = (snapshot.id, tensor.id, grid)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        try:
            read = _read(house, snapshot, tensor, grid)
        except StorageError:
            # Perhaps only for now: it is not kept.
            return np.full(grid.bins, np.nan, dtype=np.float32)
        with self._lock:
            self._kept[key] = read
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return read


def column_cache(request: Request) -> ColumnCache:
    """The application's one."""
    return cast("ColumnCache", request.app.state.columns)


def affordable_columns(bytes_a_snapshot: float) -> int:
    """How many snapshots are read for one garden; 0 where the quantiles are to do."""
    columns = MOST_COLUMNS
    if bytes_a_snapshot > 0:
        columns = min(columns, int(MOST_BYTES / bytes_a_snapshot))
    return columns if columns >= LEAST_COLUMNS else 0


def spread_steps(
    steps: NDArray[np.int64],
    count: int,
    scale: StepScale,
    *,
    first: int | None = None,
    last: int | None = None,
) -> NDArray[np.int64]:
    """At most ``count`` of the steps, as evenly on the axis as they lie, ascending.

    Where only a stretch is looked at, half of them are spent on it, half on the whole.
    """
    if len(steps) <= count:
        return steps
    shown = steps[_between(steps, first, last)]
    if not len(shown) or len(shown) == len(steps):
        return _evenly(steps, count, scale)
    on_stretch = _evenly(shown, count - count // 2, scale)
    return np.union1d(on_stretch, _evenly(steps, count // 2, scale))


def _between(steps: NDArray[np.int64], first: int | None, last: int | None) -> NDArray[np.bool_]:
    kept = np.ones(len(steps), dtype=bool)
    if first is not None:
        kept &= steps >= first
    if last is not None:
        kept &= steps <= last
    return kept


def _evenly(steps: NDArray[np.int64], count: int, scale: StepScale) -> NDArray[np.int64]:
    """The steps nearest to multiples of a stride, the shortest that hits no more than ``count``.

    Strides are powers of two, and half as much again: a course that grows keeps its columns.
    """
    if len(steps) <= count:
        return steps
    places = place(steps, scale)
    longest = math.ceil(math.log2(places[-1] - places[0]))
    chosen = steps[[0, -1]]
    for half in range(2 * longest + 1, 2 * longest - MOST_HALVINGS, -1):
        stride = 2.0 ** (half // 2) * (1.5 if half % 2 else 1.0)
        first, last = math.ceil(places[0] / stride), math.floor(places[-1] / stride)
        if last - first > WANTED_A_COLUMN * count:
            break
        wanted = np.append(np.arange(first, last + 1) * stride, places[-1])
        after = np.clip(np.searchsorted(places, wanted), 1, len(steps) - 1)
        nearer = after - (wanted - places[after - 1] < places[after] - wanted)
        found = steps[np.unique(nearer)]
        if len(found) > count:
            break
        chosen = found
    return chosen


def _read(house: Services, snapshot: Snapshot, tensor: Tensor, grid: Grid) -> NDArray[np.float32]:
    nothing = np.full(grid.bins, np.nan, dtype=np.float32)
    try:
        found = stored_distribution(house, snapshot, tensor)
        if nothing_to_draw(found, grid.unit) is not None:
            return nothing
        drawn = density(found, bins=grid.bins, unit=grid.unit, low=grid.low, high=grid.high)
    except (NotFoundError, ValueError):
        # Not carried, no longer kept, or finer than float64: a gap, not an end.
        return nothing
    return drawn.density.astype(np.float32)


def read_columns(
    cache: ColumnCache,
    house: Services,
    snapshots: Sequence[Snapshot],
    tensor: Tensor,
    grid: Grid,
) -> NDArray[np.float64]:
    """Densities at some snapshots, float64 [bins, N]."""
    columns = [cache.column(house, snapshot, tensor, grid) for snapshot in snapshots]
    return np.array(columns, dtype=np.float64).reshape(-1, grid.bins).T
