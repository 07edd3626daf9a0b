"""One statistic of many tensors over steps: a row a tensor, a column a step, alerts on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    OpenURL,
    Range1d,
    TapTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.columns import Columns
from bifurk_service.figures.step_axis import TOOLS, StepAxis, tell_steps
from bifurk_service.figures.theme import COLORS, ThemeName, diverging, sequential

Coloring: TypeAlias = Literal["linear", "log", "change"]

ROW_PIXELS: Final = 14
FRAME_PIXELS: Final = 70
HEIGHTS: Final = (150, 720)
MOST_LABELS: Final = 45
"""Rows named on the axis; of more, evenly spaced ones are."""
SHARE_SHOWN: Final = (0.5, 99.5)
"""Percentiles of all values at which colours end: one wild value must not dim the rest."""
MARK_SIZE: Final = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMark:
    """Where an alert is drawn: one mark a row that it names, each leading to its page."""

    step: int
    rows: Sequence[int]
    severity: str
    sentence: str
    url: str


def heatmap(
    axis: StepAxis,
    names: Sequence[str],
    columns: Columns,
    *,
    title: str,
    coloring: Coloring,
    alerts: Sequence[AlertMark] = (),
    theme: ThemeName = "light",
) -> figure:
    """Draws the picture.

    Args:
        axis: of the steps. names: of the T rows, first on top. columns: their values.
        coloring: by value, by its logarithm, or by change, where the middle colour is 0.
        alerts: marks on top.
    """
    count = len(names)
    height = int(np.clip(ROW_PIXELS * count + FRAME_PIXELS, *HEIGHTS))
    plot = axis.plot(title, height=height, tools=f"{TOOLS},tap")
    plot.y_range = Range1d(count, 0)
    plot.grid.visible = False
    plot.yaxis.ticker = FixedTicker(ticks=[row + 0.5 for row in _named(count)])
    plot.yaxis.major_label_overrides = {row + 0.5: names[row] for row in _named(count)}
    mapper = _mapper(columns.values, coloring, theme)
    shown = columns.values
    if coloring == "log":
        shown = np.where(shown > 0, shown, np.nan)
    source = ColumnDataSource(
        {
            "image": [row[None, :].astype(np.float32) for row in shown],
            "y": list(range(count)),
            "name": list(names),
        }
    )
    cells = plot.image(
        "image",
        x=columns.left,
        y="y",
        dw=columns.right - columns.left,
        dh=1,
        color_mapper=mapper,
        source=source,
    )
    plot.add_tools(
        HoverTool(
            renderers=[cells],
            tooltips=[
                ("", "@name"),
                ("value", "@image{0.0000 a}"),
                *tell_steps(plot, axis, columns.steps, left=columns.left, right=columns.right),
            ],
            point_policy="follow_mouse",
        )
    )
    plot.add_layout(ColorBar(color_mapper=mapper, width=10, padding=6), "right")
    if alerts:
        _mark(plot, axis, alerts, theme)
    return plot


def _named(count: int) -> list[int]:
    stride = max(1, -(-count // MOST_LABELS))
    return list(range(0, count, stride))


def _mapper(
    values: NDArray[np.float64], coloring: Coloring, theme: ThemeName
) -> LinearColorMapper | LogColorMapper:
    known = values[np.isfinite(values)]
    nan_color = COLORS[theme].grid
    if coloring == "change":
        limit = float(np.percentile(np.abs(known), SHARE_SHOWN[1])) if known.size else 0.0
        limit = limit or 1.0
        return LinearColorMapper(
            palette=diverging(theme), low=-limit, high=limit, nan_color=nan_color
        )
    if coloring == "log":
        known = known[known > 0]
    low, high = np.percentile(known, SHARE_SHOWN) if known.size else (0.0, 1.0)
    if not low < high:
        low, high = (low / 2, high * 2) if coloring == "log" else (low - 0.5, high + 0.5)
    kind = LogColorMapper if coloring == "log" else LinearColorMapper
    return kind(palette=sequential(theme), low=float(low), high=float(high), nan_color=nan_color)


def _mark(plot: figure, axis: StepAxis, alerts: Sequence[AlertMark], theme: ThemeName) -> None:
    colors = COLORS[theme]
    marks = [(alert, row) for alert in alerts for row in alert.rows]
    source = ColumnDataSource(
        {
            "x": axis.place([alert.step for alert, _ in marks]),
            "y": [row + 0.5 for _, row in marks],
            "color": [colors.severities[alert.severity] for alert, _ in marks],
            "step": [alert.step for alert, _ in marks],
            "severity": [alert.severity for alert, _ in marks],
            "sentence": [alert.sentence for alert, _ in marks],
            "url": [alert.url for alert, _ in marks],
        }
    )
    drawn = plot.scatter(
        "x",
        "y",
        source=source,
        size=MARK_SIZE,
        marker="diamond",
        fill_color="color",
        line_color=colors.ground,
    )
    plot.add_tools(
        HoverTool(
            renderers=[drawn],
            tooltips=[("", "@severity at step @step{0,0}"), ("", "@sentence")],
        )
    )
    tap = plot.select_one(TapTool)
    tap.renderers = [drawn]
    tap.callback = OpenURL(url="@url", same_tab=True)
