"""A tensor over steps: what its stored statistics say, as its page draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.figures.columns import columns_of, extremes_of, narrow_enough
from bifurk_service.figures.garden import FAN
from bifurk_service.pages.gardens import Grid
from bifurk_service.pages.views import TensorView
from bifurk_service.stats.distributions.density import DensityUnit
from bifurk_service.stats.spans import Spans, single_steps
from bifurk_service.store.engine import Session
from bifurk_service.store.series import statistic_courses
from bifurk_service.store.span_courses import Narrow
from bifurk_service.store.sums import measured_until
from bifurk_service.store.tensor_spans import read_tensor_spans

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
"""Of a line, and again of the stretch that is looked at: of the snapshots in one the value farthest
from the course's median."""
DECADES_BELOW: Final = 2.5
"""Shown of |w| below its median where it is smallest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorCourse:
    """Statistics of one tensor at N steps, or in N stretches of them, one after the other.

    Attributes:
        spans: the statistics as courses, in the order of ``READ``.
        values: by name, float64 [N], NaN without; of a stretch the one farthest from the median.
    """

    spans: Spans
    values: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, spans: Spans) -> TensorCourse:
        """The course that some spans tell of."""
        return cls(spans=spans, values=dict(zip(READ, extremes_of(spans), strict=True)))

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps themselves, or those that stretches end with, int64 [N], ascending."""
        return self.spans.last

    @property
    def is_whole(self) -> bool:
        """Whether every snapshot stands by itself."""
        return self.spans.low is self.spans.high

    def low(self, name: str) -> NDArray[np.float64]:
        """The least values of a statistic, float64 [N], NaN without."""
        found: NDArray[np.float64] = self.spans.low[READ.index(name)]
        return found

    def high(self, name: str) -> NDArray[np.float64]:
        """The greatest likewise."""
        found: NDArray[np.float64] = self.spans.high[READ.index(name)]
        return found

    def thinned(self, view: TensorView) -> TensorCourse:
        """In ``MOST_POINTS`` points, and as many of the stretch looked at; extremes kept."""
        if len(self.steps) <= MOST_POINTS:
            return self
        whole = columns_of(self.spans, columns=MOST_POINTS, scale=view.axis)
        steps, values = whole.steps, whole.values
        near = self.between(view.first, view.last)
        if len(near.steps) < len(self.steps):
            first, last = near.spans.first[0], near.spans.last[-1]
            far = (steps < first) | (steps > last)
            close = columns_of(near.spans, columns=MOST_POINTS, scale=view.axis)
            steps = np.append(steps[far], close.steps)
            values = np.append(values[:, far], close.values, axis=1)
        unique, kept = np.unique(steps, return_index=True)
        return TensorCourse.of(single_steps(unique, values[:, kept]))

    def between(self, first: int | None, last: int | None) -> TensorCourse:
        """What lies between two steps, both included; all of it where nothing does."""
        kept = np.ones(len(self.steps), dtype=bool)
        if first is not None:
            kept &= self.spans.last >= first
        if last is not None:
            kept &= self.spans.first <= last
        return TensorCourse.of(self.spans.where(kept)) if kept.any() else self


def read_course(
    session: Session, run_id: int, tensor_id: int, *, only: int | None = None
) -> TensorCourse:
    """All that is read of a tensor over its run's course, or at the ``only`` step of it."""
    [found] = statistic_courses(session, run_id, READ, [tensor_id], first_step=only, last_step=only)
    return TensorCourse.of(single_steps(found.steps, found.values.T))


def read_outline(session: Session, run_id: int, tensor_id: int, view: TensorView) -> TensorCourse:
    """The same in stretches that are narrow enough to be drawn as one value each."""
    _, last = measured_until(session, run_id)
    spans = read_tensor_spans(session, run_id, tensor_id, READ, narrow=_narrow(view, last))
    return TensorCourse.of(spans)


def _narrow(view: TensorView, last: int) -> Narrow:
    whole = narrow_enough(last, columns=MOST_POINTS, scale=view.axis)
    if view.first is None and view.last is None:
        return whole
    begin, end = view.first or 0, last if view.last is None else min(view.last, last)
    close = narrow_enough(end, first=begin, columns=MOST_POINTS, scale=view.axis)

    def narrow(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        is_shown = (ends >= begin) & (starts <= end)
        return whole(starts, ends) & (close(starts, ends) | ~is_shown)

    return narrow if begin < end else whole


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
    ends = _ends(course.between(view.first, view.last), view)
    low, high = (end[np.isfinite(end)] for end in ends)
    if not low.size or not high.size or not np.isfinite(float(high.max()) - float(low.min())):
        return None
    count = float(np.nanmax(course.values["count"]))
    return Grid.around(float(low.min()), float(high.max()), view.unit, count=count)


def _ends(shown: TensorCourse, view: TensorView) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where values begin and end in every stretch, float64 [N] each, NaN without."""
    least, greatest = ("min", "max") if view.span == "all" else ("quantile_p0_1", "quantile_p99_9")
    if view.unit == "weight":
        return shown.low(least), shown.high(greatest)
    if view.unit == "sigma":
        # Of stretches what is drawn: extremes of one need not be of one snapshot.
        fan = fan_of(shown if shown.is_whole else shown.thinned(view), view.unit)
        return fan[least], fan[greatest]
    low = _log(shown.low("abs_quantile_p50")) - DECADES_BELOW
    if view.span == "all":
        return low, _log(np.fmax(np.abs(shown.low("min")), np.abs(shown.high("max"))))
    return low, _log(shown.high("abs_quantile_p99")) + 0.5


def _std(course: TensorCourse) -> NDArray[np.float64]:
    std = course.values["std"]
    return np.where(std > 0, std, np.nan)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(np.where(values > 0, values, np.nan)))
