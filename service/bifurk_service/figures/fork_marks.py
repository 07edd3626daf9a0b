"""Alerts about a tensor, drawn on its garden: a line at the step, a head that leads on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, OpenURL, TapTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName

MARKERS: Final = {"info": "circle", "warning": "triangle", "critical": "diamond"}
"""By severity, so that no colour alone tells them apart."""
HEAD_APART: Final = 0.02
"""Of the axis: heads of forks nearer than that hang below each other."""
MOST_STACKED: Final = 12
TOLD: Final = (
    '<div style="max-width: 300px; white-space: normal">'
    "<b>@severity at step @step{0,0}</b><br>@sentence</div>"
)
"""What a fork's head tells; Bokeh escapes what it puts in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """An alert that names the tensor: drawn where it was detected, leading to its page."""

    step: int
    severity: str
    sentence: str
    url: str


def mark_forks(
    plot: figure,
    axis: StepAxis,
    forks: Sequence[Fork],
    *,
    low: float,
    high: float,
    theme: ThemeName,
) -> None:
    """Draws a line a fork over values from ``low`` to ``high``, and on each a head to point at."""
    colors = COLORS[theme]
    places = axis.place([fork.step for fork in forks])
    apart = HEAD_APART * (float(axis.range.end) - float(axis.range.start))
    source = ColumnDataSource(
        {
            "x": places,
            "y": high - (high - low) * (0.04 + 0.06 * _stacked(places, apart)),
            "color": [colors.severities[fork.severity] for fork in forks],
            "marker": [MARKERS[fork.severity] for fork in forks],
            "step": [fork.step for fork in forks],
            "severity": [fork.severity for fork in forks],
            "sentence": [fork.sentence for fork in forks],
            "url": [fork.url for fork in forks],
        }
    )
    plot.vspan("x", source=source, line_color="color", line_width=1.4, line_dash="dashed")
    heads = plot.scatter(
        "x",
        "y",
        source=source,
        marker="marker",
        size=12,
        fill_color="color",
        line_color=colors.ground,
    )
    plot.add_tools(HoverTool(renderers=[heads], tooltips=TOLD))
    tap = plot.select_one(TapTool)
    tap.renderers = [heads]
    tap.callback = OpenURL(url="@url", same_tab=True)


def _stacked(places: NDArray[np.float64], apart: float) -> NDArray[np.int64]:
    """How far down each head hangs, so that none hides another nearer than ``apart``."""
    rows = np.zeros(len(places), dtype=np.int64)
    ends: list[float] = []
    for index in np.argsort(places, kind="stable"):
        row = next((r for r, end in enumerate(ends) if places[index] - end >= apart), len(ends))
        ends[row : row + 1] = [float(places[index])]
        rows[index] = row % MOST_STACKED
    return rows
