"""Who of an alert began when: onset intervals as bars, in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    OpenURL,
    Range1d,
    Span,
    TapTool,
)
from bokeh.plotting import figure

from bifurk_service.figures.step_axis import TOOLS, StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName

ROW_PIXELS: Final = 20
FRAME_PIXELS: Final = 70
ROOM: Final = 0.08
"""Beside the intervals, as a share of what they span."""
FEW_TICKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetRow:
    """One tensor's onset interval; ``color`` "" for the figure's own, ``url`` where a tap leads."""

    name: str
    first: int
    last: int
    text: str = ""
    color: str = ""
    url: str = ""


def onsets(
    rows: Sequence[OnsetRow], *, detected: int, severity: str, theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Onset intervals as bars, the first to begin on top; their axis of steps is their own."""
    colors = COLORS[theme]
    axis = _own_axis(rows, detected)
    count = len(rows)
    plot = axis.plot(
        "onset (dashed: seen)",
        height=ROW_PIXELS * count + FRAME_PIXELS,
        tools=f"{TOOLS},tap",
    )
    plot.y_range = Range1d(count, 0)
    plot.ygrid.visible = False
    plot.xaxis.ticker.desired_num_ticks = FEW_TICKS
    centres = [row + 0.5 for row in range(count)]
    plot.yaxis.ticker = FixedTicker(ticks=centres)
    plot.yaxis.major_label_overrides = {
        centre: row.name for centre, row in zip(centres, rows, strict=True)
    }
    source = ColumnDataSource(
        {
            "y": centres,
            "left": axis.place([row.first for row in rows]),
            "right": axis.place([row.last for row in rows]),
            "first": [row.first for row in rows],
            "last": [row.last for row in rows],
            "name": [row.name for row in rows],
            "text": [row.text for row in rows],
            "color": [row.color or colors.accent for row in rows],
            "url": [row.url for row in rows],
        }
    )
    bars = plot.hbar(
        "y", left="left", right="right", height=0.6, source=source, fill_color="color",
        line_color="color", line_width=3, fill_alpha=0.55,
    )  # fmt: skip
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=[("", "@name"), ("began", "@first{0,0} to @last{0,0}"), ("", "@text")],
        )
    )
    tap = plot.select_one(TapTool)
    tap.renderers = [bars]
    tap.callback = OpenURL(url="@url", same_tab=True)
    plot.add_layout(
        Span(
            location=float(axis.place([detected])[0]), dimension="height", line_dash="dashed",
            line_width=2, line_color=colors.severities[severity],
        )
    )  # fmt: skip
    return plot


def _own_axis(rows: Sequence[OnsetRow], detected: int) -> StepAxis:
    """Over the intervals alone, under no name: the page's linked range is another."""
    steps = [detected, *(row.first for row in rows), *(row.last for row in rows)]
    low, high = min(steps), max(steps)
    room = max(math.ceil(ROOM * (high - low)), 1)
    ends = [max(low - room, 0), high + room]
    axis = StepAxis.over(ends, "linear")
    axis.range.name = None
    return axis
