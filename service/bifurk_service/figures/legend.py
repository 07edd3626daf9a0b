"""Where a legend stands: below its figure, so that it takes nothing of the width."""

from __future__ import annotations

from typing import Final

from bokeh.plotting import figure

LONG_LABEL: Final = 16
"""Letters of a legend's label, beyond which two do not fit side by side on a phone."""
LEGEND_ROW_PIXELS: Final = 21


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


def place_legend(plot: figure) -> None:
    """Moves the legend, if there is one, below the figure, which grows by its rows.

    A click on an entry hides what it stands for.
    """
    if not plot.legend:
        return
    legend = plot.legend[0]
    longest = max(len(item.label.value) for item in legend.items)
    legend.click_policy = "hide"
    legend_below(plot, columns=1 if longest > LONG_LABEL else 2)
    plot.height += LEGEND_ROW_PIXELS * -(-len(legend.items) // legend.ncols)
