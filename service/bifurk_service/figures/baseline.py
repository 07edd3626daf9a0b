"""A run's course against the band of good runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from bifurk_service.figures.comparison import HEIGHT, Values, placed, rule, with_legend
from bifurk_service.figures.lines import ValueScale
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.baseline import Band, Leaving


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldCourse:
    """A run held against a band: its values at the band's steps, float64 [N], and where it leaves.

    ``runs`` is how many good ones the band is made of, ``room`` what is said of how far beyond them
    it may be.
    """

    name: str
    values: Values
    band: Band
    left: Leaving | None
    runs: int
    room: str = "as far again as they were apart"


def against_band(
    axis: StepAxis, held: HeldCourse, *, title: str, value_scale: ValueScale = "linear",
    theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws the envelope of good runs, pale as far as it may still be left, and a run's course."""
    band, left = held.band, held.left
    plot = axis.plot(title, height=HEIGHT, value_scale=value_scale)
    colors, x = COLORS[theme], axis.place(band.steps)
    good = colors.lines[2]
    for low, high, alpha, legend in (
        (band.least, band.most, 0.12, held.room),
        (band.low, band.high, 0.3, f"{held.runs} good runs"),
    ):
        ends = [placed(end, value_scale) for end in (low, high)]
        plot.varea(x, *ends, fill_color=good, fill_alpha=alpha, legend_label=legend)
    source = ColumnDataSource(
        {
            "x": x,
            "step": band.steps,
            "y": placed(held.values, value_scale),
            "middle": placed(band.middle, value_scale),
            "low": band.low,
            "high": band.high,
        }
    )
    plot.line(
        "x", "middle", source=source, color=good, line_dash="dashed", legend_label="their median"
    )
    known = np.isfinite(held.values)
    own = ColumnDataSource({key: np.asarray(column)[known] for key, column in source.data.items()})
    line = plot.line(
        "x", "y", source=own, color=colors.lines[0], line_width=2, legend_label=held.name
    )
    told = [("step", "@step{0,0}"), ("value", "@y{0.00000 a}"),
            ("good runs", "@low{0.00000 a} to @high{0.00000 a}")]  # fmt: skip
    plot.add_tools(HoverTool(renderers=[line], tooltips=told))
    if left is not None:
        at = float(axis.place([left.step])[0])
        rule(plot, at, colors.severities["warning"])
        plot.scatter(
            [at], [left.value], size=11, marker="diamond",
            fill_color=colors.severities["warning"], line_color=colors.text,
            legend_label=f"leaves at step {left.step:,}",
        )  # fmt: skip
    return with_legend(plot)
