"""The layers of a role over steps, coloured by branch or by depth, and their profile by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    OpenURL,
    TapTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.comparison import placed
from bifurk_service.figures.evidence import LEAST_POINTS, MOST_POINTS, course_hover
from bifurk_service.figures.legend import place_legend
from bifurk_service.figures.lines import Course, ValueScale
from bifurk_service.figures.shades import shades
from bifurk_service.figures.step_axis import TOOLS, StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.thinning import thin

HEIGHT: Final = 420
HEIGHT_PROFILE: Final = 260
LEFT_OUT: Final = "extremes of stretches"
"""What a title says where not every value is drawn."""
MOST_TICKS: Final = 30
"""Layers named below a profile; of more, evenly spaced ones are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerCourse:
    """One layer: its course, which branch it is in (None: in none), and when it began.

    Attributes:
        is_outlined: whether the course is of a long run's extremes.
    """

    layer: int
    course: Course
    branch: int | None = None
    onset: tuple[int, int] | None = None
    is_outlined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkMark:
    """The step at which a fork was seen; a tap leads to its alert."""

    step: int
    severity: str
    sentence: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A statistic by depth at one step, float64 [L], NaN where a layer has none."""

    step: int
    values: NDArray[np.float64]


def trajectories(
    axis: StepAxis, layers: Sequence[LayerCourse], *, title: str, branches: Sequence[str] = (),
    forks: Sequence[ForkMark] = (), value_scale: ValueScale = "linear", theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws the courses.

    Args:
        branches: what branch 0, 1... is called; without names, layers are coloured by depth.
        forks: marked as lines over the whole height.
    """
    points = most_points(len(layers))
    every = [_shown(axis, layer.course, points) for layer in layers]
    if any(
        layer.is_outlined or len(kept) < len(layer.course.steps)
        for layer, kept in zip(layers, every, strict=True)
    ):
        title = f"{title}; {LEFT_OUT}"
    plot = axis.plot(title, height=HEIGHT, tools=f"{TOOLS},tap", value_scale=value_scale)
    colors = layer_colors(layers, branches, theme)
    drawn = []
    for layer, kept, color in zip(layers, every, colors, strict=True):
        steps, values = layer.course.steps[kept], layer.course.values[kept]
        if value_scale == "log":
            values = np.where(values > 0, values, np.nan)
        source = ColumnDataSource({"x": axis.place(steps), "y": values, "step": steps})
        legend = {"legend_label": _branch_name(layer, branches)} if branches else {}
        drawn.append(
            plot.line(
                "x",
                "y",
                source=source,
                color=color,
                line_width=1.8,
                name=layer.course.name,
                **legend,
            )
        )
    plot.add_tools(course_hover(drawn))
    if forks:
        _mark_forks(plot, axis, forks, theme)
    if branches:
        _mark_onsets(plot, axis, layers, colors, theme)
        place_legend(plot)
    elif layers:
        _add_depth_bar(plot, layers, theme)
    return plot


def most_points(layers: int) -> int:
    """That are drawn of each of so many layers, and again of what is looked at."""
    return max(LEAST_POINTS, MOST_POINTS // max(layers, 1))


def _shown(axis: StepAxis, course: Course, points: int) -> NDArray[np.int64]:
    """Indices of what is drawn of a course: extremes of the whole and of what is looked at."""
    kept = thin(course.values, points)
    places = axis.place(course.steps)
    is_seen = (places >= float(axis.range.start)) & (places <= float(axis.range.end))
    seen = np.flatnonzero(is_seen)
    if len(kept) == len(places) or not len(seen):
        return kept
    return np.union1d(kept, seen[thin(course.values[seen], points)])


def profile(
    layers: Sequence[LayerCourse], shown: Profile, earlier: Profile | None, *, title: str,
    branches: Sequence[str] = (), value_scale: ValueScale = "linear", theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws a statistic against depth at a step, an earlier one dashed behind it."""
    plot = figure(
        title=title,
        height=HEIGHT_PROFILE,
        y_axis_type=value_scale,
        sizing_mode="stretch_width",
        tools="save",
        toolbar_location="right",
    )
    plot.toolbar.logo = None
    places = list(range(len(layers)))
    ticks = places[:: max(1, -(-len(places) // MOST_TICKS))]
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {at: str(layers[at].layer) for at in ticks}
    plot.xaxis.axis_label = "layer"
    muted = COLORS[theme].muted
    if earlier is not None:
        plot.line(
            places, placed(earlier.values, value_scale), color=muted, line_dash="dashed",
            legend_label=f"at step {earlier.step:,}",
        )  # fmt: skip
    values = placed(shown.values, value_scale)
    plot.line(places, values, color=muted, legend_label=f"at step {shown.step:,}")
    source = ColumnDataSource(
        {
            "x": places,
            "y": values,
            "layer": [layer.layer for layer in layers],
            "name": [layer.course.name for layer in layers],
            "branch": [_branch_name(layer, branches) if branches else "" for layer in layers],
            "color": layer_colors(layers, branches, theme),
        }
    )
    dots = plot.scatter("x", "y", source=source, size=10, fill_color="color", line_color=muted)
    told = [("", "@name"), ("value", "@y{0.00000 a}"), *([("", "@branch")] if branches else [])]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=told))
    place_legend(plot)
    return plot


def layer_colors(
    layers: Sequence[LayerCourse], branches: Sequence[str], theme: ThemeName
) -> list[str]:
    """One colour a layer: of its branch, where there are any, else by depth."""
    if not branches:
        return list(shades(theme, len(layers)))
    colors = COLORS[theme]
    return [
        colors.muted if layer.branch is None else colors.lines[layer.branch % len(colors.lines)]
        for layer in layers
    ]


def _branch_name(layer: LayerCourse, branches: Sequence[str]) -> str:
    is_named = layer.branch is not None and layer.branch < len(branches)
    return branches[layer.branch or 0] if is_named else "in no branch"


def _mark_forks(plot: figure, axis: StepAxis, forks: Sequence[ForkMark], theme: ThemeName) -> None:
    source = ColumnDataSource(
        {
            "x": axis.place([fork.step for fork in forks]),
            "step": [fork.step for fork in forks],
            "sentence": [fork.sentence for fork in forks],
            "color": [COLORS[theme].severities[fork.severity] for fork in forks],
            "url": [fork.url for fork in forks],
        }
    )
    drawn = plot.vspan(
        x="x", source=source, line_color="color", line_width=2, line_dash="dashed", name="forks"
    )
    plot.add_tools(
        HoverTool(renderers=[drawn], tooltips=[("", "seen at step @step{0,0}"), ("", "@sentence")])
    )
    tap = plot.select_one(TapTool)
    tap.renderers = [drawn]
    tap.callback = OpenURL(url="@url", same_tab=True)


def _mark_onsets(
    plot: figure, axis: StepAxis, layers: Sequence[LayerCourse], colors: Sequence[str],
    theme: ThemeName,
) -> None:  # fmt: skip
    """A ring on each course at the end of its onset interval."""
    begun = [
        (layer, color, place)
        for layer, color in zip(layers, colors, strict=True)
        if layer.onset is not None
        and (place := int(np.searchsorted(layer.course.steps, layer.onset[1])))
        < len(layer.course.steps)
    ]
    source = ColumnDataSource(
        {
            "x": axis.place([int(layer.course.steps[place]) for layer, _, place in begun]),
            "y": [float(layer.course.values[place]) for layer, _, place in begun],
            "name": [layer.course.name for layer, _, _ in begun],
            "first": [(layer.onset or (0, 0))[0] for layer, _, _ in begun],
            "last": [(layer.onset or (0, 0))[1] for layer, _, _ in begun],
            "color": [color for _, color, _ in begun],
        }
    )
    rings = plot.scatter(
        "x", "y", source=source, size=9, line_width=2, line_color="color",
        fill_color=COLORS[theme].ground, name="onsets",
    )  # fmt: skip
    plot.add_tools(
        HoverTool(
            renderers=[rings],
            tooltips=[("", "@name"), ("began", "@first{0,0} to @last{0,0}")],
        )
    )


def _add_depth_bar(plot: figure, layers: Sequence[LayerCourse], theme: ThemeName) -> None:
    low, high = layers[0].layer, layers[-1].layer
    mapper = LinearColorMapper(palette=shades(theme, 256), low=low, high=max(high, low + 1))
    ticks = sorted({low, high, layers[len(layers) // 2].layer})
    plot.add_layout(
        ColorBar(
            color_mapper=mapper, width=10, padding=6, title="layer", ticker=FixedTicker(ticks=ticks)
        ),
        "right",
    )
