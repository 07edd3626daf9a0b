"""The axis of steps that figures share: linear, or by the logarithm of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, NoOverlap, Range1d
from bokeh.plotting import figure
from numpy.typing import ArrayLike, NDArray

from bifurk_service.figures.theme import HEIGHT_LINES

StepScale: TypeAlias = Literal["linear", "log"]

RANGE_NAME: Final = "steps"
"""By which the page finds the range that all figures of a document share."""
TOOLS: Final = "xpan,xwheel_zoom,xbox_zoom,reset,save"
LARGEST_DECADE: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepAxis:
    """Where steps are drawn, and the range that linked figures share.

    Attributes:
        scale: log places a step at the decimal logarithm of one more than it, so that step 0 has a
            place.
    """

    scale: StepScale
    range: Range1d

    @classmethod
    def over(
        cls, steps: Sequence[int] | NDArray[np.int64], scale: StepScale, *,
        first: int | None = None, last: int | None = None,
    ) -> StepAxis:  # fmt: skip
        """An axis over all steps, looking at those from ``first`` to ``last``."""
        ends = (int(steps[0]), int(steps[-1])) if len(steps) else (0, 1)
        whole = place(np.array([ends[0], max(ends[1], ends[0] + 1)]), scale)
        shown = place(
            np.array([ends[0] if first is None else first, ends[1] if last is None else last]),
            scale,
        )
        if not shown[0] < shown[1]:
            shown = whole
        return cls(
            scale=scale,
            range=Range1d(
                start=float(shown[0]),
                end=float(shown[1]),
                reset_start=float(whole[0]),
                reset_end=float(whole[1]),
                name=RANGE_NAME,
            ),
        )

    def place(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Positions of steps on the axis."""
        return place(steps, self.scale)

    def plot(
        self,
        title: str,
        *,
        height: int = HEIGHT_LINES,
        tools: str = TOOLS,
        value_scale: Literal["linear", "log"] = "linear",
    ) -> figure:
        """An empty figure over this axis, as wide as the page."""
        plot = figure(
            title=title,
            height=height,
            y_axis_type=value_scale,
            sizing_mode="stretch_width",
            x_range=self.range,
            tools=tools,
            toolbar_location="right",
            active_drag="xbox_zoom",
        )
        plot.toolbar.logo = None
        plot.xaxis.major_label_policy = NoOverlap()
        if self.scale == "log":
            _label_decades(plot)
        else:
            plot.xaxis.formatter.use_scientific = False
        return plot


def tell_steps(
    plot: figure, axis: StepAxis, steps: NDArray[np.int64], *, left: float, right: float
) -> list[tuple[str, str]]:
    """What a picture's hover says of the step; on a logarithmic axis a hover of its own does.

    Bokeh knows where on the axis the pointer is, and has no formula in what it tells.

    Args:
        steps: int64 [C] of the picture's columns, equally wide from ``left`` to ``right``.
    """
    if axis.scale == "linear":
        return [("step", "$x{0,0}")]
    edges = np.linspace(left, right, len(steps) + 1)
    source = ColumnDataSource({"x0": edges[:-1], "x1": edges[1:], "step": steps})
    strips = plot.vstrip(
        x0="x0", x1="x1", source=source, fill_alpha=0, line_alpha=0, hatch_alpha=0, name="strips"
    )
    plot.add_tools(
        HoverTool(
            renderers=[strips],
            tooltips=[("step", "@step{0,0}")],
            attachment="below",
            point_policy="follow_mouse",
            visible=False,
        )
    )
    return []


def place(steps: ArrayLike, scale: StepScale) -> NDArray[np.float64]:
    """Positions of steps on an axis of this scale."""
    values = np.asarray(steps, dtype=np.float64)
    return np.log10(values + 1) if scale == "log" else values


def _label_decades(plot: figure) -> None:
    """Ticks at 0, and at 1, 2 and 5 of every decade, named by their steps."""
    steps = [0, *(m * 10**d for d in range(LARGEST_DECADE) for m in (1, 2, 5))]
    places = place(steps, "log").tolist()
    plot.xaxis.ticker = FixedTicker(ticks=places)
    plot.xgrid.ticker = FixedTicker(ticks=places)
    plot.xaxis.major_label_overrides = {
        at: f"{step:,}" for at, step in zip(places, steps, strict=True)
    }
