"""The figures of a tensor over steps: its garden, its spectrum, its motion; one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bokeh.models import Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.columns import Columns, columns_of
from bifurk_service.figures.fork_marks import Fork
from bifurk_service.figures.garden import Planting, garden
from bifurk_service.figures.legend import legend_below, place_legend
from bifurk_service.figures.lines import Course, StepMark, ValueScale, lines
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.pages.gardens import Grid
from bifurk_service.pages.tensor_course import TensorCourse, fan_of
from bifurk_service.pages.views import TensorView
from bifurk_service.stats.distributions.density import DensityUnit
from bifurk_service.stats.distributions.peaks import peaks
from bifurk_service.stats.spans import single_steps
from bifurk_service.store.tensor_courses import LeadingValues

PICTURE_COLUMNS: Final = 480
"""Of the whole garden, and again of the stretch that is looked at."""
LEADING: Final = 6
"""Singular values drawn over steps."""
UNITS: Final[dict[DensityUnit, str]] = {
    "sigma": "value / standard deviation",
    "weight": "value",
    "log_magnitude": "log10 |value|",
}
SPECTRA_HEIGHT: Final = 260
SMALL: Final = 150
"""Pixels of the figures below the garden."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Densities that were read or reconstructed: steps int64 [N], densities float64 [B, N].

    ``dips`` are the dip ratios there, [N]; ``how`` says in words where the densities come from.
    """

    grid: Grid
    steps: NDArray[np.int64]
    densities: NDArray[np.float64]
    dips: NDArray[np.float64]
    how: str


def garden_of(
    axis: StepAxis,
    thin: TensorCourse,
    planted: Planted,
    forks: Sequence[Fork],
    view: TensorView,
) -> figure:
    """The garden, with what the statistics say on it, in points that are drawn."""
    planting = Planting(
        low=planted.grid.low,
        high=planted.grid.high,
        pictures=_pictures(planted, view),
        steps=thin.steps,
        fan=fan_of(thin, view.unit),
        modes=_modes(planted),
        broken=_broken(thin),
        forks=forks,
    )
    return garden(
        axis,
        planting,
        title=f"Garden: density {planted.how}",
        value_label=UNITS[view.unit],
        density=view.density,
        theme=view.theme,
    )


def spectra_of(
    axis: StepAxis,
    spectra: Sequence[LeadingValues],
    marks: Sequence[StepMark],
    theme: ThemeName,
    *,
    are_all: bool,
) -> figure | None:
    """The largest singular values over steps, and where noise would end; None without any."""
    if not spectra:
        return None
    steps = np.array([one.step for one in spectra], dtype=np.int64)
    ranks = min(LEADING, max(one.values.size for one in spectra))
    table = np.full((ranks, len(spectra)), np.nan)
    for column, one in enumerate(spectra):
        values = one.values[:ranks]
        table[: values.size, column] = values
    palette = COLORS[theme].lines
    courses = [
        Course(name=f"no. {rank + 1}", steps=steps, values=values,
               color=palette[rank % len(palette)])
        for rank, values in enumerate(table)
    ]  # fmt: skip
    edge = np.array([_threshold(one) for one in spectra])
    if np.isfinite(edge).any():
        courses.append(
            Course(name="edge of noise", steps=steps, values=edge, color=COLORS[theme].muted)
        )
    left_out = "" if are_all else f", at {len(spectra):,} steps"
    plot = lines(
        axis,
        courses,
        title=f"Spectrum: largest values, edge of noise{left_out}",
        marks=marks,
        theme=theme,
        height=SPECTRA_HEIGHT,
    )
    if plot.legend:
        legend_below(plot, columns=4)
    return plot


def motion_of(
    axis: StepAxis, course: TensorCourse, marks: Sequence[StepMark], theme: ThemeName
) -> list[figure]:
    """Motion and outliers, each with its own axis of values; what has no value is left out."""

    def drawn(title: str, *names: str, log: bool = False) -> figure | None:
        some = [_line(course, name) for name in names]
        some = [one for one in some if np.isfinite(one.values).any()]
        if not some:
            return None
        positive = any((one.values > 0).any() for one in some)
        scale: ValueScale = "log" if log and positive else "linear"
        plot = lines(
            axis, some, title=title, value_scale=scale, marks=marks, theme=theme, height=SMALL
        )
        place_legend(plot)
        return plot

    every = (
        drawn("Directions beyond the edge of noise", "spectrum_outliers", "spectrum_outliers_raw"),
        drawn("Motion: update ratio per step", "update_ratio", log=True),
        drawn("Motion: distance to the first snapshot", "distance_to_first"),
        drawn("Motion: cosine to the first snapshot", "cosine_to_first"),
    )
    return [one for one in every if one is not None]


def mark_step(figures: Sequence[figure], axis: StepAxis, step: int, theme: ThemeName) -> None:
    """Draws where the chosen step is, in every figure; the page moves the lines by their names."""
    for place, plot in enumerate(figures):
        plot.add_layout(
            Span(
                location=float(axis.place([step])[0]),
                dimension="height",
                line_color=COLORS[theme].text,
                line_width=1.5,
                name=f"at-{place}",
            )
        )


def _pictures(planted: Planted, view: TensorView) -> list[Columns]:
    if not len(planted.steps):
        return []
    spans = single_steps(planted.steps, planted.densities)
    every = [columns_of(spans, columns=PICTURE_COLUMNS, scale=view.axis)]
    first = planted.steps[0] if view.first is None else view.first
    last = planted.steps[-1] if view.last is None else view.last
    near = (planted.steps >= first) & (planted.steps <= last)
    if 1 < near.sum() < len(near):
        spans = single_steps(planted.steps[near], planted.densities[:, near])
        every.append(columns_of(spans, columns=PICTURE_COLUMNS, scale=view.axis))
    return every


def _modes(planted: Planted) -> list[tuple[int, float]]:
    """The two modes of those densities that the dip says have more than one."""
    found: list[tuple[int, float]] = []
    for column in np.flatnonzero(planted.dips > 1).tolist():
        two = peaks(planted.densities[:, column], planted.grid.edges)
        if two.size == 2:
            found.extend((int(planted.steps[column]), value) for value in two.tolist())
    return found


def _broken(course: TensorCourse) -> list[tuple[int, int]]:
    counts = course.values["nonfinite_count"]
    some = np.flatnonzero(counts > 0)
    return [(int(course.steps[at]), int(counts[at])) for at in some]


def _line(course: TensorCourse, name: str) -> Course:
    values = course.values[name]
    spread = course.values.get(f"{name}_stderr")
    has_band = spread is not None and bool((spread > 0).any())
    return Course(
        name=name,
        steps=course.steps,
        values=values,
        low=values - spread if has_band and spread is not None else None,
        high=values + spread if has_band and spread is not None else None,
    )


def _threshold(one: LeadingValues) -> float:
    """What noise stays below; NaN where the fit gave no verdict."""
    return float(one.document["raw"].get("upper_threshold", np.nan))
