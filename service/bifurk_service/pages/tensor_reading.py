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
from bifurk_service.pages.tensor_course import TensorCourse, read_course, read_outline
from bifurk_service.pages.tensor_figures import Planted
from bifurk_service.pages.tensor_steps import close_steps
from bifurk_service.pages.views import TensorView
from bifurk_service.services import services
from bifurk_service.stats.distributions.from_quantiles import (
    PROBABILITIES,
    density_from_quantiles,
)
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.common_steps import statistics_at_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.queries import statistics_of
from bifurk_service.store.spectra import StoredSpectrum
from bifurk_service.store.tensor_courses import course_snapshots, stored_bytes
from bifurk_service.store.tensor_spans import length_of
from bifurk_service.store.timeline import timeline

MOST_RECONSTRUCTED: Final = 360
"""Columns drawn from quantiles: a quarter of a millisecond each."""

SHAPE: Final = (*PROBABILITIES, "std", "dip_ratio")
"""Statistics of single steps that a density is drawn from, and its modes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OverSteps:
    """A tensor over its run's course.

    Attributes:
        stored: steps at which it is stored, int64 [N]: all, or of a long run some that lie closely.
        snapshots: how many there are; about as many, where ``is_outlined``.
    """

    course: TensorCourse
    stored: NDArray[np.int64]
    snapshots: int
    is_outlined: bool

    def told(self, steps: NDArray[np.int64]) -> str:
        """How many of all snapshots some are."""
        about = "about " if self.is_outlined else ""
        return f"at {len(steps):,} of {about}{self.snapshots:,} snapshots"


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


def over_steps(session: Session, run_id: int, tensor_id: int, view: TensorView) -> OverSteps:
    """Every value of a short run; of a long one extremes of stretches as narrow as a view shows."""
    length = length_of(session, run_id)
    if not length.is_long:
        course = read_course(session, run_id, tensor_id)
        return OverSteps(
            course=course, stored=course.steps, snapshots=len(course.steps), is_outlined=False
        )
    return OverSteps(
        course=read_outline(session, run_id, tensor_id, view),
        stored=close_steps(session, "statistics", run_id, tensor_id, view).steps,
        snapshots=length.snapshots,
        is_outlined=True,
    )


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
    seen: OverSteps,
    *,
    grid: Grid,
    view: TensorView,
) -> Planted:
    """Densities over steps: read where that is affordable, else between the stored quantiles."""
    planted = None if tensor.piece_of else _read(request, run_id, tensor, seen, grid, view)
    return planted or _reconstructed(request, run_id, tensor, seen, grid, view)


def _read(
    request: Request,
    run_id: int,
    tensor: Tensor,
    seen: OverSteps,
    grid: Grid,
    view: TensorView,
) -> Planted | None:
    house = services(request)

    def chosen(count: int) -> NDArray[np.int64]:
        return spread_steps(seen.stored, count, view.axis, first=view.first, last=view.last)

    with house.database.read() as session:
        found = course_snapshots(session, run_id, chosen(MOST_COLUMNS).tolist())
        size = stored_bytes(session, [snapshot.id for snapshot in found.values()])
        count = affordable_columns(size / max(1, len(found)))
        if 0 < count < len(found):
            found = course_snapshots(session, run_id, chosen(count).tolist())
        steps = np.array(sorted(found), dtype=np.int64)
        shapes = _shapes(session, run_id, tensor, steps)
    if not count or not found:
        return None
    densities = read_columns(
        column_cache(request), house, [found[step] for step in steps.tolist()], tensor, grid
    )
    if not np.isfinite(densities).any():
        return None
    return Planted(
        grid=grid,
        steps=steps,
        densities=densities,
        dips=shapes[:, -1],
        how=seen.told(steps),
    )


def _reconstructed(
    request: Request,
    run_id: int,
    tensor: Tensor,
    seen: OverSteps,
    grid: Grid,
    view: TensorView,
) -> Planted:
    """Between the stored quantiles, which are there for every step."""
    steps = spread_steps(
        seen.stored, MOST_RECONSTRUCTED, view.axis, first=view.first, last=view.last
    )
    with services(request).database.read() as session:
        shapes = _shapes(session, run_id, tensor, steps)
    left_out = f" {seen.told(steps)}" if len(steps) < seen.snapshots else ""
    return Planted(
        grid=grid,
        steps=steps,
        densities=between_quantiles(shapes[:, :-2], grid, std=shapes[:, -2]),
        dips=shapes[:, -1],
        how=f"from stored quantiles{left_out}",
    )


def between_quantiles(
    quantiles: NDArray[np.float64], grid: Grid, *, std: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Densities at N steps, float64 [bins, N].

    Args:
        quantiles: float64 [N, P], as ``PROBABILITIES`` names them. std: float64 [N].
    """
    densities = [
        density_from_quantiles(row.tolist(), grid.edges, grid.unit, std=float(one))
        for row, one in zip(quantiles, std, strict=True)
    ]
    return np.array(densities).reshape(-1, grid.bins).T


def _shapes(
    session: Session, run_id: int, tensor: Tensor, steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """At some steps what ``SHAPE`` names, float64 [N, S]."""
    course = timeline(session, run_id)
    found = statistics_at_steps(session, course, SHAPE, [tensor.id], steps)
    return found.reshape(len(steps), len(SHAPE))


def _no_values(values: dict[str, float | None], view: TensorView) -> str:
    if values["std"] is None:
        return "No value is finite at this step: there is no histogram."
    if view.unit == "sigma" and values["std"] == 0:
        return "All values are equal at this step: there is no deviation to measure them by."
    if view.unit == "log_magnitude" and values["zero_share"] == 1:
        return "All values are zero at this step: a logarithmic axis has no place for them."
    return ""
