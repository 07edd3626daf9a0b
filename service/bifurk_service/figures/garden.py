"""The garden: how a tensor's values are spread, step by step, and where the paths fork."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    Range1d,
)
from bokeh.palettes import interp_palette
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.columns import Columns
from bifurk_service.figures.fork_marks import Fork, mark_forks
from bifurk_service.figures.legend import legend_below
from bifurk_service.figures.step_axis import TOOLS, StepAxis, tell_steps
from bifurk_service.figures.theme import COLORS, ThemeName, sequential

Density: TypeAlias = Literal["linear", "log"]

HEIGHT: Final = 420
DENSEST_SHOWN: Final = 99.0
"""Percentile of the densities above 0 at which colours end: a bias that starts as all zeros is one
spike, which must not dim the rest."""
FAINTEST_SHOWN: Final = 1e-3
"""Of the densest, where a logarithmic colour scale begins."""
FAN_COLOR: Final = 3
"""Of a theme's lines: seen on the palest and on the densest ground."""
FADED: Final = 40
"""Of 256 colours, those that come out of the ground: where there is next to nothing."""
NAME: Final = "garden"
"""By which the page finds the figure, to choose a step on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanLine:
    """How a quantile is drawn; lines of one ``group`` share a line of the legend."""

    group: str
    width: float
    dash: str = "solid"


FAN: Final[Mapping[str, FanLine]] = {
    "min": FanLine(group="extremes", width=1.0, dash="dotted"),
    "quantile_p0_1": FanLine(group="0.1, 99.9 %", width=0.8, dash="dotdash"),
    "quantile_p1": FanLine(group="1, 99 %", width=0.9, dash="dashed"),
    "quantile_p5": FanLine(group="5, 95 %", width=1.0),
    "quantile_p25": FanLine(group="25, 75 %", width=1.3),
    "quantile_p50": FanLine(group="median", width=2.2),
    "quantile_p75": FanLine(group="25, 75 %", width=1.3),
    "quantile_p95": FanLine(group="5, 95 %", width=1.0),
    "quantile_p99": FanLine(group="1, 99 %", width=0.9, dash="dashed"),
    "quantile_p99_9": FanLine(group="0.1, 99.9 %", width=0.8, dash="dotdash"),
    "max": FanLine(group="extremes", width=1.0, dash="dotted"),
    "abs_quantile_p50": FanLine(group="median of |w|", width=2.2),
    "abs_quantile_p99": FanLine(group="99 % of |w|", width=0.9, dash="dashed"),
}
"""What can be in a fan, by the statistic's name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planting:
    """What a garden shows; values in the drawn unit.

    Attributes:
        pictures: densities, values [B, C] each, over B equal bins from ``low`` to ``high``; later
            ones lie on top.
        steps: int64 [N] of the fan. fan: by a name of ``FAN``, float64 [N].
        modes: steps and values of the peaks where a density has more than one.
        broken: steps at which some values are not finite, and how many.
        forks: alerts.
    """

    low: float
    high: float
    pictures: Sequence[Columns]
    steps: NDArray[np.int64]
    fan: Mapping[str, NDArray[np.float64]]
    modes: Sequence[tuple[int, float]] = ()
    broken: Sequence[tuple[int, int]] = ()
    forks: Sequence[Fork] = field(default=())


def garden(
    axis: StepAxis,
    planting: Planting,
    *,
    title: str,
    value_label: str,
    density: Density,
    theme: ThemeName = "light",
) -> figure:
    """Draws it: densities below, the fan over them, modes, and the forks on top."""
    plot = axis.plot(title, height=HEIGHT, tools=f"{TOOLS},tap")
    plot.name = NAME
    plot.y_range = Range1d(planting.low, planting.high)
    plot.yaxis.axis_label = value_label
    plot.grid.visible = False
    _paint(plot, axis, planting, density, theme)
    _fan(plot, axis, planting, theme)
    _modes(plot, axis, planting, theme)
    _broken(plot, axis, planting, theme)
    if planting.forks:
        mark_forks(plot, axis, planting.forks, low=planting.low, high=planting.high, theme=theme)
    if plot.legend:
        plot.legend.click_policy = "hide"
        legend_below(plot, columns=3)
    return plot


def _paint(
    plot: figure, axis: StepAxis, planting: Planting, density: Density, theme: ThemeName
) -> None:
    every = [picture.values.ravel() for picture in planting.pictures]
    mapper = _mapper(np.concatenate(every) if every else np.zeros(0), density, theme)
    drawn = []
    for picture in planting.pictures:
        shown = picture.values
        if density == "log":
            shown = np.where(shown > 0, shown, np.nan)
        drawn.append(
            plot.image(
                [shown.astype(np.float32)],
                x=picture.left,
                y=planting.low,
                dw=picture.right - picture.left,
                dh=planting.high - planting.low,
                color_mapper=mapper,
            )
        )
    if drawn:
        whole = planting.pictures[0]
        plot.add_tools(
            HoverTool(
                renderers=drawn,
                tooltips=[
                    ("value", "$y{0.0000 a}"),
                    ("density", "@image{0.000 a}"),
                    *tell_steps(plot, axis, whole.steps, left=whole.left, right=whole.right),
                ],
                point_policy="follow_mouse",
            )
        )
        plot.add_layout(ColorBar(color_mapper=mapper, width=10, padding=6), "right")


def _mapper(
    densities: NDArray[np.float64], density: Density, theme: ThemeName
) -> LinearColorMapper | LogColorMapper:
    some = densities[np.isfinite(densities) & (densities > 0)]
    high = float(np.percentile(some, DENSEST_SHOWN)) if some.size else 1.0
    palette, none = _palette(theme), COLORS[theme].ground
    if density == "log":
        return LogColorMapper(palette=palette, low=high * FAINTEST_SHOWN, high=high, nan_color=none)
    return LinearColorMapper(palette=palette, low=0.0, high=high, nan_color=none)


def _palette(theme: ThemeName) -> tuple[str, ...]:
    """The colours from least to most, the first of them out of the ground."""
    colors = sequential(theme)
    return (*interp_palette((COLORS[theme].ground, colors[FADED]), FADED), *colors[FADED:])


def _fan(plot: figure, axis: StepAxis, planting: Planting, theme: ThemeName) -> None:
    x, color = axis.place(planting.steps), COLORS[theme].lines[FAN_COLOR]
    groups: dict[str, list[str]] = {}
    for name, values in planting.fan.items():
        if np.isfinite(values).any():
            groups.setdefault(FAN[name].group, []).append(name)
    for group, names in groups.items():
        look, lines = FAN[names[0]], [planting.fan[name] for name in names]
        plot.multi_line(
            [x] * len(lines),
            lines,
            color=color,
            line_width=look.width,
            line_dash=look.dash,
            legend_label=group,
        )
        if len(x) == 1:
            plot.scatter(list(x) * len(lines), np.concatenate(lines), color=color, size=5)


def _modes(plot: figure, axis: StepAxis, planting: Planting, theme: ThemeName) -> None:
    if not planting.modes:
        return
    steps, values = zip(*planting.modes, strict=True)
    plot.scatter(
        axis.place(steps),
        values,
        size=5,
        fill_color=COLORS[theme].ground,
        line_color=COLORS[theme].text,
        legend_label="modes",
    )


def _broken(plot: figure, axis: StepAxis, planting: Planting, theme: ThemeName) -> None:
    if not planting.broken:
        return
    steps, counts = zip(*planting.broken, strict=True)
    bottom = planting.low + 0.02 * (planting.high - planting.low)
    source = ColumnDataSource(
        {"x": axis.place(steps), "y": [bottom] * len(steps), "step": steps, "count": counts}
    )
    drawn = plot.scatter(
        "x",
        "y",
        source=source,
        marker="x",
        size=8,
        line_width=2,
        color=COLORS[theme].severities["critical"],
        legend_label="NaN or infinite",
    )
    plot.add_tools(
        HoverTool(
            renderers=[drawn],
            tooltips=[("", "@count{0,0} values are not finite"), ("step", "@step{0,0}")],
        )
    )
