"""Courses over steps as lines: a logged scalar, a learning rate, a statistic of some tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, HEIGHT_LINES, ThemeName
from bifurk_service.stats.thinning import thin

ValueScale: TypeAlias = Literal["linear", "log"]

MOST_POINTS: Final = 2_000
"""Of a line: more than a screen is wide, and every extreme is among them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """A line: ascending steps int64 [N] and values float64 [N], NaN where there is none.

    ``low`` and ``high``, [N], draw a band around it.
    """

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMark:
    """A vertical line at a step: an alert, an evaluation, a resume."""

    step: int
    color: str


def lines(
    axis: StepAxis,
    courses: Sequence[Course],
    *,
    title: str,
    value_scale: ValueScale = "linear",
    marks: Sequence[StepMark] = (),
    theme: ThemeName = "light",
    height: int = HEIGHT_LINES,
) -> figure:
    """Draws courses into one figure; values that a logarithmic scale cannot place are left out."""
    plot = axis.plot(title, height=height, value_scale=value_scale)
    _make_room_around_one_value(plot, courses)
    palette = COLORS[theme].lines
    drawn = []
    for place, course in enumerate(courses):
        color = course.color or palette[place % len(palette)]
        values = course.values
        if value_scale == "log":
            values = np.where(values > 0, values, np.nan)
        kept = thin(values, MOST_POINTS)
        steps = course.steps[kept]
        source = ColumnDataSource({"x": axis.place(steps), "y": values[kept], "step": steps})
        named = {"legend_label": course.name} if len(courses) > 1 else {}
        if course.low is not None and course.high is not None:
            plot.varea(
                axis.place(steps),
                course.low[kept],
                course.high[kept],
                fill_color=color,
                fill_alpha=0.18,
            )
        drawn.append(
            plot.line(
                "x", "y", source=source, name=course.name, color=color, line_width=1.6, **named
            )
        )
        if len(course.steps) == 1:
            drawn.append(plot.scatter("x", "y", source=source, color=color, size=5))
    plot.add_tools(
        HoverTool(
            renderers=drawn,
            tooltips=[("", "$name"), ("step", "@step{0,0}"), ("value", "@y{0.00000 a}")],
            mode="mouse",
        )
    )
    for mark in marks:
        at = float(axis.place([mark.step])[0])
        plot.add_layout(
            Span(location=at, dimension="height", line_color=mark.color, line_dash="dashed")
        )
    if plot.legend:
        plot.legend.click_policy = "hide"
        plot.add_layout(plot.legend[0], "right")
    return plot


def _make_room_around_one_value(plot: figure, courses: Sequence[Course]) -> None:
    """Bokeh's own room is 1 on either side, in which a constant rate of 0.0003 looks like 0."""
    known = [course.values[np.isfinite(course.values)] for course in courses]
    every = np.unique(np.concatenate([*known, np.zeros(0)]))
    if every.size == 1:
        value, room = float(every[0]), abs(float(every[0])) / 2 or 0.5
        plot.y_range = Range1d(value - room, value + room)
