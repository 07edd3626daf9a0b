"""Where a legend stands: below its figure, so that it takes nothing of the width."""

from __future__ import annotations

from bokeh.plotting import figure


def legend_below(plot: figure, *, columns: int) -> None:
    """Moves a figure's legend below it; on a phone two or three columns have room."""
    legend = plot.legend[0]
    for side in (plot.center, plot.left, plot.right, plot.above, plot.below):
        if legend in side:
            side.remove(legend)
    legend.orientation = "horizontal"
    legend.ncols = columns
    legend.padding, legend.spacing, legend.margin = 2, 1, 2
    plot.add_layout(legend, "below")
