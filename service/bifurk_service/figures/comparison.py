"""Two sides in one figure: densities, profiles by depth, courses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.lines import ValueScale
from bifurk_service.figures.step_axis import TOOLS
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.thinning import thin

HEIGHT: Final = 320
FAINTEST_SHOWN: Final = 1e-5
"""Of the peak, where a logarithmic axis of densities ends."""
MOST_POINTS: Final = 4_000
"""Of one course."""
MOST_TICKS: Final = 30
"""Layers named below a profile; of more, evenly spaced ones are."""
LEGEND_COLUMNS: Final = 2
"""What a phone has room for."""
DASHES: Final = ("solid", "dashed")
MARKERS: Final = ("circle", "square")
"""By side: no colour alone tells them apart."""

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One of the two: what it is called, and a value a bin or layer, float64 [N], NaN without."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideCourse:
    """A course of one side.

    Attributes:
        x: where its snapshots stand on the axis, float64 [N]. steps: int64 [N]. values: [N].
        low, high: the extremes of what is around it (other layers), [N], where there are others.
        shade_x: where these stand, [M], if not where the snapshots do; then both are [M].
        marks: the steps that are compared.
    """

    name: str
    x: Values
    steps: NDArray[np.int64]
    values: Values
    low: Values | None = None
    high: Values | None = None
    shade_x: Values | None = None
    marks: tuple[int, ...] = ()


def densities(
    edges: Values, sides: Sequence[Side], *, title: str, value_label: str,
    density_scale: ValueScale = "linear", theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws densities over the same bins: the first filled, the second as a dashed outline.

    Args:
        edges: float64 [B + 1], equally wide. sides: densities [B]; NaN in all where none is known.
    """
    plot = plain_plot(title, value_label, value_scale=density_scale)
    plot.yaxis.axis_label = "density"
    peak = max((float(np.nanmax(side.values, initial=0.0)) for side in sides), default=0.0) or 1.0
    floor = peak * FAINTEST_SHOWN if density_scale == "log" else 0.0
    plot.y_range = Range1d(floor, peak * (2 if density_scale == "log" else 1.08))
    drawn = []
    for place, side in enumerate(sides):
        color = COLORS[theme].lines[place]
        shown = np.clip(np.where(np.isfinite(side.values), side.values, floor), floor, None)
        source = ColumnDataSource(
            {
                "x": np.repeat(edges, 2)[1:-1],
                "y": np.repeat(shown, 2),
                "low": np.repeat(edges[:-1], 2),
                "high": np.repeat(edges[1:], 2),
                "density": np.repeat(side.values, 2),
            }
        )
        if place == 0:
            plot.varea(
                "x", y1=floor, y2="y", source=source, fill_color=color, fill_alpha=0.3,
                legend_label=side.name,
            )  # fmt: skip
        drawn.append(
            plot.line(
                "x", "y", source=source, color=color, line_width=1.6, line_dash=DASHES[place],
                name=side.name, legend_label=side.name,
            )
        )  # fmt: skip
    told = [("", "$name"), ("from", "@low{0.0000 a}"), ("to", "@high{0.0000 a}"),
            ("density", "@density{0.0000 a}")]  # fmt: skip
    plot.add_tools(HoverTool(renderers=drawn, tooltips=told))
    return with_legend(plot)


def profiles(
    layers: Sequence[str], sides: Sequence[Side], *, title: str, chosen: int | None = None,
    value_scale: ValueScale = "linear", theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws a statistic against depth for both sides; the chosen layer is marked."""
    plot = plain_plot(title, "layer", value_scale=value_scale)
    places = list(range(len(layers)))
    ticks = places[:: max(1, -(-len(places) // MOST_TICKS))]
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {at: layers[at] for at in ticks}
    dots = []
    for place, side in enumerate(sides):
        look = {"color": COLORS[theme].lines[place], "legend_label": side.name, "name": side.name}
        source = ColumnDataSource(
            {"x": places, "y": placed(side.values, value_scale), "layer": list(layers)}
        )
        plot.line("x", "y", source=source, line_dash=DASHES[place], line_width=1.6, **look)
        dots.append(plot.scatter("x", "y", source=source, size=8, marker=MARKERS[place], **look))
    if chosen is not None:
        rule(plot, float(chosen), COLORS[theme].muted)
    told = [("", "$name"), ("layer", "@layer"), ("value", "@y{0.00000 a}")]
    plot.add_tools(HoverTool(renderers=dots, tooltips=told))
    return with_legend(plot)


def plain_plot(
    title: str, x_label: str, *, descending: bool = False, x_scale: ValueScale = "linear",
    value_scale: ValueScale = "linear",
) -> figure:  # fmt: skip
    """An empty figure over something other than steps; ``descending``: less is farther right."""
    plot = figure(
        title=title,
        height=HEIGHT,
        x_axis_type=x_scale,
        y_axis_type=value_scale,
        sizing_mode="stretch_width",
        tools=TOOLS,
        toolbar_location="right",
        active_drag="xbox_zoom",
    )
    plot.toolbar.logo = None
    plot.xaxis.axis_label = x_label
    plot.x_range.flipped = descending
    return plot


def draw_courses(
    plot: figure, sides: Sequence[SideCourse], *, value_scale: ValueScale = "linear",
    theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws the courses of both sides onto an empty figure, with what is around each."""
    drawn = []
    for place, side in enumerate(sides):
        color = COLORS[theme].lines[place]
        kept = thin(side.values, MOST_POINTS)
        if side.low is not None and side.high is not None:
            shaded = (
                (side.x[kept], side.low[kept], side.high[kept])
                if side.shade_x is None
                else (side.shade_x, side.low, side.high)
            )
            low, high = (placed(one, value_scale) for one in shaded[1:])
            plot.varea(shaded[0], low, high, fill_color=color, fill_alpha=0.13)
        source = ColumnDataSource(
            {
                "x": side.x[kept],
                "y": placed(side.values[kept], value_scale),
                "step": side.steps[kept],
            }
        )
        look = {"source": source, "color": color, "name": side.name, "legend_label": side.name}
        if np.isfinite(side.values[kept]).sum() == 1:
            drawn.append(plot.scatter("x", "y", size=8, marker=MARKERS[place], **look))
        else:
            drawn.append(plot.line("x", "y", line_width=1.8, line_dash=DASHES[place], **look))
        for offset, mark in enumerate(side.marks):
            for at in side.x[side.steps == mark].tolist():
                rule(plot, at, COLORS[theme].lines[place + offset])
    told = [("", "$name"), ("step", "@step{0,0}"), ("x", "@x{0,0.[0000]}"),
            ("value", "@y{0.00000 a}")]  # fmt: skip
    plot.add_tools(HoverTool(renderers=drawn, tooltips=told))
    return with_legend(plot)


def placed(values: Values, value_scale: ValueScale) -> Values:
    """Values as an axis takes them: NaN for what a logarithmic one has no place for."""
    return np.where(values > 0, values, np.nan) if value_scale == "log" else values


def rule(plot: figure, at: float, color: str) -> None:
    """A dotted line over the whole height."""
    plot.add_layout(
        Span(location=at, dimension="height", line_color=color, line_dash="dotted", line_width=1.5)
    )


def with_legend(plot: figure) -> figure:
    """The figure with its legend below it, where it takes no width on a phone."""
    if plot.legend:
        plot.legend.click_policy = "hide"
        plot.legend.orientation = "horizontal"
        plot.legend.ncols = LEGEND_COLUMNS
        plot.legend.margin, plot.legend.spacing = 0, 10
        plot.add_layout(plot.legend[0], "below")
    return plot
