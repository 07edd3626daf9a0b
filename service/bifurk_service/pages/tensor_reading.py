"""What a tensor's page reads of the store: its course, densities over steps, and one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from bifurk_service.api.spectra import absent_spectrum, newest_spectrum
from bifurk_service.errors import NotFoundError
from bifurk_service.pages.gardens import (
    MOST_COLUMNS,
    Grid,
    affordable_columns,
    column_cache,
    read_columns,
    spread_steps,
)
from bifurk_service.pages.tensor_course import TensorCourse, quantiles_of
from bifurk_service.pages.tensor_figures import Planted
from bifurk_service.pages.views import TensorView
from bifurk_service.services import services
from bifurk_service.stats.distributions.from_quantiles import density_from_quantiles
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.queries import statistics_of
from bifurk_service.store.spectra import StoredSpectrum
from bifurk_service.store.tensor_courses import course_snapshots, stored_bytes

MOST_RECONSTRUCTED: Final = 360
"""Columns drawn from quantiles: a quarter of a millisecond each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticLine:
    """A statistic as the table shows it: a value or a word, or why there is none."""

    name: str
    family: str
    unit: str
    meaning: str
    value: float | None
    word: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OneStep:
    """A tensor at one step; a note is there where a figure cannot be.

    Attributes:
        values: every statistic. spectrum: the newest at or before the step.
        no_values, no_spectrum: why there is no histogram, no spectrum; "" where there is.
    """

    snapshot: Snapshot
    values: dict[str, float | None]
    reasons: dict[str, str]
    spectrum: StoredSpectrum | None
    no_values: str
    no_spectrum: str

    @property
    def lines(self) -> list[StatisticLine]:
        """The table of statistics, in the registry's order."""
        return [self._line(name) for name in BY_NAME if name in self.values]

    def _line(self, name: str) -> StatisticLine:
        one, value = BY_NAME[name], self.values[name]
        return StatisticLine(
            name=name,
            family=one.family.value,
            unit="" if one.unit in ("1", "class") else one.unit,
            meaning=one.meaning,
            value=value,
            word=one.labels[int(value)] if one.labels and value is not None else "",
            reason=self.reasons.get(name, "") if value is None else "",
        )


def nearest_step(steps: NDArray[np.int64], asked: int | None) -> int | None:
    """The last stored step at or before the one asked for, else the first; None without any."""
    if not len(steps):
        return None
    if asked is None:
        return int(steps[-1])
    return int(steps[max(0, int(np.searchsorted(steps, asked, side="right")) - 1)])


def read_step(
    session: Session, run_id: int, tensor: Tensor, step: int, view: TensorView
) -> OneStep | None:
    """A tensor at a stored step; None where that has just been given up."""
    snapshot = course_snapshots(session, run_id, [step]).get(step)
    if snapshot is None:
        return None
    try:
        values, reasons = statistics_of(session, tensor, snapshot)
    except NotFoundError:
        return None
    spectrum = newest_spectrum(session, run_id, tensor, snapshot)
    return OneStep(
        snapshot=snapshot,
        values=values,
        reasons=reasons,
        spectrum=spectrum,
        no_values=_no_values(values, view),
        no_spectrum="" if spectrum else str(absent_spectrum(session, tensor, snapshot)),
    )


def plant(
    request: Request,
    run_id: int,
    tensor: Tensor,
    course: TensorCourse,
    *,
    grid: Grid,
    view: TensorView,
) -> Planted:
    """Densities over steps: read where that is affordable, else between the stored quantiles."""
    planted = None if tensor.piece_of else _read(request, run_id, tensor, course, grid, view)
    return planted or reconstructed(course, grid, view)


def _read(
    request: Request,
    run_id: int,
    tensor: Tensor,
    course: TensorCourse,
    grid: Grid,
    view: TensorView,
) -> Planted | None:
    house = services(request)

    def chosen(count: int) -> NDArray[np.int64]:
        return spread_steps(course.steps, count, view.axis, first=view.first, last=view.last)

    with house.database.read() as session:
        found = course_snapshots(session, run_id, chosen(MOST_COLUMNS).tolist())
        size = stored_bytes(session, [snapshot.id for snapshot in found.values()])
        count = affordable_columns(size / max(1, len(found)))
        if 0 < count < len(found):
            found = course_snapshots(session, run_id, chosen(count).tolist())
    if not count or not found:
        return None
    steps = sorted(found)
    densities = read_columns(
        column_cache(request), house, [found[step] for step in steps], tensor, grid
    )
    if not np.isfinite(densities).any():
        return None
    return Planted(
        grid=grid,
        steps=np.array(steps, dtype=np.int64),
        densities=densities,
        how=f"at {len(steps):,} of {len(course.steps):,} snapshots",
    )


def reconstructed(course: TensorCourse, grid: Grid, view: TensorView) -> Planted:
    """Densities between the stored quantiles, which are there for every step."""
    steps = spread_steps(
        course.steps, MOST_RECONSTRUCTED, view.axis, first=view.first, last=view.last
    )
    at = np.searchsorted(course.steps, steps)
    quantiles, std = quantiles_of(course)[at], course.values["std"][at]
    densities = [
        density_from_quantiles(row.tolist(), grid.edges, grid.unit, std=float(one))
        for row, one in zip(quantiles, std, strict=True)
    ]
    return Planted(
        grid=grid,
        steps=steps,
        densities=np.array(densities).reshape(-1, grid.bins).T,
        how="from stored quantiles",
    )


def _no_values(values: dict[str, float | None], view: TensorView) -> str:
    if values["std"] is None:
        return "No value is finite at this step: there is no histogram."
    if view.unit == "sigma" and values["std"] == 0:
        return "All values are equal at this step: there is no deviation to measure them by."
    if view.unit == "log_magnitude" and values["zero_share"] == 1:
        return "All values are zero at this step: a logarithmic axis has no place for them."
    return ""
