"""A tensor over steps: what its stored statistics say, as its page draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.figures.columns import columns_of
from bifurk_service.figures.garden import FAN
from bifurk_service.figures.step_axis import StepScale
from bifurk_service.pages.gardens import Grid
from bifurk_service.pages.views import TensorView
from bifurk_service.stats.distributions.density import DensityUnit
from bifurk_service.stats.distributions.from_quantiles import PROBABILITIES
from bifurk_service.stats.spans import single_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.series import statistic_courses

MOTION: Final = ("update_ratio", "distance_to_first", "cosine_to_first")
OTHERS: Final = (
    "count",
    "std",
    "mean",
    "nonfinite_count",
    "dip_ratio",
    *MOTION,
    *(f"{name}_stderr" for name in MOTION),
    "spectral_norm",
    "mp_soft_rank",
    "spectrum_outliers",
    "spectrum_outliers_raw",
)
READ: Final = (*FAN, *OTHERS)
"""The statistics that are read, all in one query."""
MOST_POINTS: Final = 600
"""Of a line; of the snapshots in one the value farthest from the course's median."""
DECADES_BELOW: Final = 2.5
"""Shown of |w| below its median where it is smallest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorCourse:
    """Statistics of one tensor: ascending steps int64 [N], by name float64 [N], NaN without."""

    steps: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]

    def thinned(self, scale: StepScale) -> TensorCourse:
        """The course in at most ``MOST_POINTS`` points on the axis, extremes kept."""
        if len(self.steps) <= MOST_POINTS:
            return self
        spans = single_steps(self.steps, np.array(list(self.values.values())))
        drawn = columns_of(spans, columns=MOST_POINTS, scale=scale)
        _, kept = np.unique(drawn.steps, return_index=True)
        return TensorCourse(
            steps=drawn.steps[kept],
            values=dict(zip(self.values, drawn.values[:, kept], strict=True)),
        )

    def between(self, first: int | None, last: int | None) -> TensorCourse:
        """What lies between two steps, both included; all of it where nothing does."""
        kept = np.ones(len(self.steps), dtype=bool)
        if first is not None:
            kept &= self.steps >= first
        if last is not None:
            kept &= self.steps <= last
        if not kept.any():
            return self
        values = {name: values[kept] for name, values in self.values.items()}
        return TensorCourse(steps=self.steps[kept], values=values)


def read_course(
    session: Session, run_id: int, tensor_id: int, *, only: int | None = None
) -> TensorCourse:
    """All that is read of a tensor over its run's course, or at the ``only`` step of it."""
    [found] = statistic_courses(session, run_id, READ, [tensor_id], first_step=only, last_step=only)
    return TensorCourse(steps=found.steps, values=dict(zip(READ, found.values.T, strict=True)))


def fan_of(course: TensorCourse, unit: DensityUnit) -> dict[str, NDArray[np.float64]]:
    """The lines of the fan in the drawn unit; of magnitudes two quantiles are stored."""
    if unit == "log_magnitude":
        names = [name for name in FAN if name.startswith("abs_")]
        return {name: _log(course.values[name]) for name in names}
    scale = _std(course) if unit == "sigma" else np.ones(len(course.steps))
    names = [name for name in FAN if not name.startswith("abs_")]
    with np.errstate(all="ignore"):
        fan = {name: course.values[name] / scale for name in names}
    return {name: np.where(np.isfinite(line), line, np.nan) for name, line in fan.items()}


def grid_of(course: TensorCourse, view: TensorView) -> Grid | None:
    """The bins that hold the body, or all, of the values shown; None where nothing is known."""
    shown = course.between(view.first, view.last)
    fan = fan_of(shown, view.unit)
    if view.unit == "log_magnitude":
        ends = (fan["abs_quantile_p50"] - DECADES_BELOW, _largest(shown, view))
    elif view.span == "all":
        ends = (fan["min"], fan["max"])
    else:
        ends = (fan["quantile_p0_1"], fan["quantile_p99_9"])
    low, high = (end[np.isfinite(end)] for end in ends)
    if not low.size or not high.size or not np.isfinite(float(high.max()) - float(low.min())):
        return None
    count = float(np.nanmax(course.values["count"]))
    return Grid.around(float(low.min()), float(high.max()), view.unit, count=count)


def quantiles_of(course: TensorCourse) -> NDArray[np.float64]:
    """The stored quantiles, float64 [N, P], as ``PROBABILITIES`` names them."""
    return np.array([course.values[name] for name in PROBABILITIES]).T


def _largest(course: TensorCourse, view: TensorView) -> NDArray[np.float64]:
    if view.span == "all":
        return _log(np.fmax(np.abs(course.values["min"]), np.abs(course.values["max"])))
    return _log(course.values["abs_quantile_p99"]) + 0.5


def _std(course: TensorCourse) -> NDArray[np.float64]:
    std = course.values["std"]
    return np.where(std > 0, std, np.nan)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(np.where(values > 0, values, np.nan)))
