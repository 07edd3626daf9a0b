"""Which snapshots a garden reads, over which bins, and what is kept of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bifurk_service.errors import NotFoundError
from bifurk_service.figures.step_axis import place
from bifurk_service.pages import gardens
from bifurk_service.pages.gardens import (
    LEAST_COLUMNS,
    MOST_BYTES,
    MOST_COLUMNS,
    ColumnCache,
    Grid,
    affordable_columns,
    spread_steps,
)
from bifurk_service.stats.distributions.distribution import from_values
from tests.stats.tensors import exact

GRID = Grid.around(-1, 1, "weight", count=1000)
EVERY = np.arange(0, 50_000, 10)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("steps", [EVERY, np.arange(300), np.append(0, np.arange(9_000, 9_900))])
def test_columns_are_as_even_as_the_steps_allow(scale: Any, steps: Any) -> None:
    chosen = spread_steps(steps, 120, scale)
    assert 60 <= len(chosen) <= 120
    assert np.isin(chosen, steps).all()
    assert chosen[-1] == steps[-1]
    gaps = np.diff(place(chosen, scale))
    own = np.diff(place(steps, scale)).max()
    span = float(np.diff(place(steps[[0, -1]], scale))[0])
    assert gaps.max() <= max(own, 0) + 2 * span / 60


def test_few_steps_are_all_shown() -> None:
    assert spread_steps(EVERY[:100], 120, "log").tolist() == EVERY[:100].tolist()
    assert spread_steps(EVERY[:0], 120, "linear").size == 0


def test_half_of_the_columns_are_spent_on_what_is_looked_at() -> None:
    chosen = spread_steps(EVERY, 120, "linear", first=20_000, last=21_000)
    assert ((chosen >= 20_000) & (chosen <= 21_000)).sum() >= 30
    assert chosen[0] < 1_000
    assert chosen[-1] == EVERY[-1]
    assert len(chosen) <= 120


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_run_that_grows_keeps_its_columns(scale: Any) -> None:
    before = spread_steps(EVERY[:4_000], 120, scale)
    after = spread_steps(EVERY[:4_001], 120, scale)
    assert len(np.setdiff1d(after, before)) <= 2


def test_bins_stay_while_values_creep() -> None:
    grids = {Grid.around(-1 - 0.0001 * k, 1, "weight", count=1000) for k in range(20)}
    assert len(grids) == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (3.0, 3.0), (-1e-30, 1e-30), (-1e30, 1e30)])
def test_a_grid_holds_its_values(low: float, high: float) -> None:
    grid = Grid.around(low, high, "weight", count=64)
    assert grid.low < low
    assert grid.high > high
    assert (np.diff(grid.edges) > 0).all()


def test_large_parts_are_not_read() -> None:
    assert affordable_columns(0) == MOST_COLUMNS
    assert affordable_columns(MOST_BYTES / 50) == 50
    assert affordable_columns(MOST_BYTES / (LEAST_COLUMNS - 1)) == 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the snapshots whose parts were decoded; number 13 is no longer kept."""
    seen: list[int] = []

    def read(house: Any, snapshot: Any, tensor: Any) -> Any:
        seen.append(snapshot.id)
        if snapshot.id == 13:
            raise NotFoundError("a part is no longer kept")
        return from_values(exact(np.linspace(-0.9, 0.9, 1000)))

    monkeypatch.setattr(gardens, "stored_distribution", read)
    return seen


def column(cache: ColumnCache, snapshot: int, grid: Grid = GRID) -> Any:
    found: Any = SimpleNamespace
    return cache.column(found(), found(id=snapshot), found(id=1), grid)


def test_a_column_is_read_once(reads: list[int]) -> None:
    cache = ColumnCache()
    first, again = column(cache, 1), column(cache, 1)
    assert first is again
    assert (first * np.diff(GRID.edges)).sum() == pytest.approx(1, abs=1e-6)
    column(cache, 1, Grid.around(-2, 2, "weight", count=1000))
    assert reads == [1, 1]


def test_what_was_used_least_goes_first(reads: list[int]) -> None:
    cache = ColumnCache(most=2)
    for snapshot in (1, 2, 1, 3, 1, 2):
        column(cache, snapshot)
    assert reads == [1, 2, 3, 2]


def test_a_part_that_is_gone_leaves_a_gap(reads: list[int]) -> None:
    assert np.isnan(column(ColumnCache(), 13)).all()
    assert reads == [13]
