"""The singular spectrum of a matrix at one step against what noise would look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d, Span, Title
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.histogram import plain_plot
from bifurk_service.figures.legend import legend_below
from bifurk_service.figures.theme import COLORS, ThemeName

MOST_BINS: Final = 80
WIDE: Final = 4.0
"""Times the edge of the bulk: where an outlier lies beyond, the axis is logarithmic."""
LOWEST_SHOWN: Final = 1e-2
"""Of that edge, where a logarithmic axis begins; smaller values are counted there."""
DECADES_LABELLED: Final = 5
VALUES_A_BIN: Final = 3
"""On average and at least: a histogram of fewer shows its own noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseCurve:
    """The Marchenko-Pastur density of the fitted bulk: values and density float64 [M]."""

    values: NDArray[np.float64]
    density: NDArray[np.float64]
    threshold: float
    """What noise hardly ever crosses: beyond it lie the outliers."""


def spectrum(
    singular: NDArray[np.float64],
    curve: NoiseCurve | None,
    outliers: Sequence[float],
    *,
    title: str,
    verdict: str,
    theme: ThemeName = "light",
) -> figure:
    """Draws singular values as a histogram, the curve over it, outliers as marks.

    Args:
        singular: float64 [p], at least one. curve: None where the fit gave no verdict.
        outliers: values beyond the edges, of the matrix as it is. verdict: a second line of title.
    """
    is_wide = curve is not None and float(singular.max()) > WIDE * float(curve.values[-1])
    plot = plain_plot(title, across="log" if is_wide else "linear")
    plot.add_layout(Title(text=verdict, text_font_size="11px"), "above")
    plot.above.reverse()
    plot.xaxis.axis_label, plot.yaxis.axis_label = "singular value", "density"
    if is_wide:
        _label_decades(plot, singular)
    colors = COLORS[theme]
    edges, density, counts = _bins(singular, curve, is_wide=is_wide)
    source = ColumnDataSource(
        {"left": edges[:-1], "right": edges[1:], "top": density, "count": counts}
    )
    bars = plot.quad(
        source=source,
        bottom=0,
        fill_color=colors.lines[0],
        fill_alpha=0.55,
        line_color=None,
        legend_label="singular values",
    )
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=[("from", "@left{0.0000 a}"), ("to", "@right{0.0000 a}"),
                      ("singular values", "@count")],
        )
    )  # fmt: skip
    highest = float(density.max(initial=0.0))
    if curve is not None:
        plot.line(
            curve.values,
            curve.density,
            color=colors.lines[1],
            line_width=1.8,
            line_dash="dashed",
            legend_label="Marchenko-Pastur",
        )
        plot.add_layout(
            Span(
                location=curve.threshold,
                dimension="height",
                line_color=colors.muted,
                line_dash="dotted",
            )
        )
        highest = max(highest, float(np.percentile(curve.density, 98)))
    plot.y_range = Range1d(0, 1.1 * highest or 1.0)
    if len(outliers):
        _outliers(plot, outliers, at=0.03 * highest, theme=theme)
    legend_below(plot, columns=3)
    return plot


def _label_decades(plot: figure, singular: NDArray[np.float64]) -> None:
    """Ticks at 1, 2 and 5 of every decade; Bokeh's own leave most of two decades bare."""
    last = int(np.floor(np.log10(singular.max())))
    ticks = [
        float(f"{mantissa}e{decade}")
        for decade in range(last - DECADES_LABELLED, last + 1)
        for mantissa in (1, 2, 5)
    ]
    plot.xaxis.ticker = plot.xgrid.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}


def _bins(
    singular: NDArray[np.float64], curve: NoiseCurve | None, *, is_wide: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Edges, densities and counts; bins as wide as the bulk asks for, outliers or not."""
    low, high = float(singular.min()), float(singular.max())
    across = int(np.clip(np.ceil(singular.size / VALUES_A_BIN), 4, MOST_BINS // 2))
    if is_wide and curve is not None:
        edge = float(curve.values[-1])
        low = max(low, LOWEST_SHOWN * edge)
        bulk = np.log(edge / max(float(curve.values[0]), low))
        count = int(np.clip(np.ceil(np.log(high / low) / bulk * across), 4, 4 * MOST_BINS))
        edges = np.geomspace(low, high, count + 1)
    else:
        if not low < high:
            low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
        bulk = high - low if curve is None else float(np.ptp(curve.values)) or high - low
        count = int(np.clip(np.ceil((high - low) / bulk * across), 4, 4 * MOST_BINS))
        edges = np.linspace(low, high, count + 1)
    counts, _ = np.histogram(np.clip(singular, edges[0], edges[-1]), bins=edges)
    return edges, counts / singular.size / np.diff(edges), counts


def _outliers(plot: figure, outliers: Sequence[float], *, at: float, theme: ThemeName) -> None:
    colors = COLORS[theme]
    source = ColumnDataSource({"x": list(outliers), "y": [at] * len(outliers)})
    drawn = plot.scatter(
        "x",
        "y",
        source=source,
        marker="inverted_triangle",
        size=10,
        fill_color=colors.severities["warning"],
        line_color=colors.text,
        legend_label="beyond the edge",
    )
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("beyond the edge", "@x{0.0000 a}")]))
