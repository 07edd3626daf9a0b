"""A tensor's values at one step against the Gaussian of their mean and deviation."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.legend import legend_below
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.distributions.density import DensityUnit

ValueScale: TypeAlias = Literal["linear", "log"]

HEIGHT: Final = 300
CURVE_POINTS: Final = 300
FAINTEST_SHOWN: Final = 1e-5
"""Of the peak, where a logarithmic axis of densities ends."""
TOOLS: Final = "pan,wheel_zoom,box_zoom,reset,save"


def plain_plot(
    title: str, *, value_scale: ValueScale = "linear", across: ValueScale = "linear"
) -> figure:
    """An empty figure with axes of its own, as wide as the page."""
    plot = figure(
        title=title,
        height=HEIGHT,
        x_axis_type=across,
        y_axis_type=value_scale,
        sizing_mode="stretch_width",
        tools=TOOLS,
        toolbar_location="right",
        active_drag="box_zoom",
    )
    plot.toolbar.logo = None
    return plot


def histogram(
    edges: NDArray[np.float64],
    density: NDArray[np.float64],
    gaussian: NDArray[np.float64] | None,
    *,
    title: str,
    value_label: str,
    density_scale: ValueScale = "linear",
    theme: ThemeName = "light",
) -> figure:
    """Draws densities over bins, and the Gaussian over it.

    Args:
        edges: float64 [B + 1]. density: float64 [B].
        gaussian: points of a curve, float64 [2, M]: values and densities; None without a spread.
    """
    plot = plain_plot(title, value_scale=density_scale)
    plot.xaxis.axis_label, plot.yaxis.axis_label = value_label, "density"
    colors, floor = COLORS[theme], 0.0
    if density_scale == "log":
        floor = float(density.max(initial=0.0) or 1.0) * FAINTEST_SHOWN
        plot.y_range.start = floor
        plot.y_range.end = float(density.max(initial=0.0) or 1.0) * 2
    some = density > floor
    source = ColumnDataSource(
        {
            "left": edges[:-1][some],
            "right": edges[1:][some],
            "top": density[some],
            "bottom": np.full(int(some.sum()), floor),
        }
    )
    bars = plot.quad(
        source=source,
        fill_color=colors.lines[0],
        fill_alpha=0.55,
        line_color=colors.lines[0],
        line_alpha=0.55,
        legend_label="values",
    )
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=[("from", "@left{0.0000 a}"), ("to", "@right{0.0000 a}"),
                      ("density", "@top{0.0000 a}")],
        )
    )  # fmt: skip
    if gaussian is not None:
        values, curve = gaussian[:, gaussian[1] > floor]
        plot.line(
            values,
            curve,
            color=colors.lines[1],
            line_width=1.8,
            line_dash="dashed",
            legend_label="Gaussian of mean and deviation",
        )
    plot.legend.click_policy = "hide"
    legend_below(plot, columns=2)
    return plot


def gaussian_curve(
    low: float, high: float, *, mean: float, std: float, unit: DensityUnit
) -> NDArray[np.float64] | None:
    """The density of N(mean, std^2) in the drawn unit, float64 [2, M]; None where std is not > 0.

    In ``log_magnitude``, with m = 10^x: ln(10) m (phi((m - mean)/std) + phi((m + mean)/std)) / std.

    Args:
        low, high: in ``unit``. mean, std: in the weights' own.
    """
    if not std > 0:
        return None
    x = np.linspace(low, high, CURVE_POINTS)

    def phi(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)

    with np.errstate(over="ignore"):
        if unit == "log_magnitude":
            m = np.power(10.0, x)
            y = math.log(10) * m * (phi((m - mean) / std) + phi((m + mean) / std)) / std
        elif unit == "sigma":
            y = phi(x - mean / std)
        else:
            y = phi((x - mean) / std) / std
    return np.array([x, np.where(np.isfinite(y), y, 0.0)])
