"""What an alert saw: its tensors' courses around the onset, with what the run did itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    FixedTicker,
    GlyphRenderer,
    HoverTool,
    Span,
)
from bokeh.plotting import figure

from bifurk_service.figures.lines import Course, ValueScale
from bifurk_service.figures.shades import shades
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.thinning import thin

HEIGHT_EVIDENCE: Final = 340
MOST_POINTS: Final = 80_000
"""Of all courses of a figure together."""
LEAST_POINTS: Final = 200
"""Of one course, however many there are."""
DASHES: Final = ("dotted", "dashed", "dotdash", "dashdot", "solid")
FAINT: Final = 0.4
"""How opaque what stands for contrast is."""
MOST_LETTERS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """When it began, between two steps, and when it was seen; in the severity's colour."""

    first: int
    last: int
    detected: int
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMark:
    """Something the run did at a step."""

    kind: str
    step: int
    text: str = ""


def evidence(
    axis: StepAxis, affected: Sequence[Course], others: Sequence[Course], *, title: str,
    value_scale: ValueScale = "linear", groups: Sequence[str] = (), labels: Sequence[str] = (),
    theme: ThemeName = "light",
) -> figure:  # fmt: skip
    """Draws the affected courses, in the order of onset, before faint ones for contrast.

    Its legend is for ``place_legend``, once marks are drawn as well.

    Args:
        groups: what the legend calls each affected course; by itself its name, where they are few.
        labels: of a class, the words that its numbers 0, 1, 2... stand for.
    """
    plot = axis.plot(title, height=HEIGHT_EVIDENCE, value_scale=value_scale)
    colors = COLORS[theme]
    points = max(LEAST_POINTS, MOST_POINTS // max(len(affected) + len(others), 1))
    if others:
        _draw_faint(plot, axis, others, points=points, theme=theme)
    drawn = []
    few = len(affected) <= len(colors.lines)
    palette = colors.lines if few else shades(theme, len(affected))
    named = groups or [
        _short(course.name) if few and len(affected) > 1 else "" for course in affected
    ]
    for course, color, legend in zip(affected, palette, named, strict=False):
        drawn.append(
            draw_course(
                plot, axis, course, color=course.color or color, points=points, legend=legend
            )
        )
    plot.add_tools(course_hover(drawn))
    if labels:
        plot.yaxis.ticker = FixedTicker(ticks=list(range(len(labels))))
        plot.yaxis.major_label_overrides = dict(enumerate(labels))
    return plot


def draw_course(
    plot: figure, axis: StepAxis, course: Course, *, color: str, points: int, legend: str = ""
) -> GlyphRenderer:
    """One line that answers to its name; a single value is a dot."""
    kept = thin(course.values, points)
    values = course.values[kept]
    source = ColumnDataSource(
        {"x": axis.place(course.steps[kept]), "y": values, "step": course.steps[kept]}
    )
    look = {"source": source, "color": color, "name": course.name}
    if legend:
        look["legend_label"] = legend
    if np.isfinite(values).sum() == 1:
        return plot.scatter("x", "y", size=6, **look)
    return plot.line("x", "y", line_width=1.8, **look)


def _draw_faint(
    plot: figure, axis: StepAxis, others: Sequence[Course], *, points: int, theme: ThemeName
) -> None:
    """All at once: every line by itself costs some milliseconds to send."""
    kept = [thin(course.values, points) for course in others]
    pairs = list(zip(others, kept, strict=True))
    source = ColumnDataSource(
        {
            "xs": [axis.place(course.steps[own]) for course, own in pairs],
            "ys": [course.values[own] for course, own in pairs],
            "name": [course.name for course in others],
        }
    )
    drawn = plot.multi_line(
        "xs", "ys", source=source, color=COLORS[theme].muted, alpha=FAINT, name="others"
    )
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("", "@name"), ("", "unaffected")]))


def course_hover(drawn: Sequence[GlyphRenderer]) -> HoverTool:
    """Tells a line's name, step and value."""
    return HoverTool(
        renderers=list(drawn),
        tooltips=[("", "$name"), ("step", "@step{0,0}"), ("value", "@y{0.00000 a}")],
    )


def _short(name: str) -> str:
    """A name that a legend on a phone has room for; its end tells more than its middle."""
    return name if len(name) <= MOST_LETTERS else f"{name[:10]}…{name[11 - MOST_LETTERS :]}"


def draw_onset(plot: figure, axis: StepAxis, onset: Onset, *, theme: ThemeName) -> None:
    """The interval in which it began as a band, the step at which it was seen as a line."""
    color = COLORS[theme].severities[onset.severity]
    first, last, seen = axis.place([onset.first, onset.last, onset.detected]).tolist()
    plot.add_layout(
        BoxAnnotation(
            left=first, right=last, fill_color=color, fill_alpha=0.22,
            line_color=color, line_alpha=0.6, level="underlay",
        )
    )  # fmt: skip
    plot.add_layout(
        Span(location=seen, dimension="height", line_color=color, line_width=2, line_dash="dashed")
    )


def draw_marks(plot: figure, axis: StepAxis, marks: Sequence[RunMark], *, theme: ThemeName) -> None:
    """Thin lines, one pattern a kind; what each was is told where it is pointed at."""
    drawn = []
    for place, kind in enumerate(dict.fromkeys(mark.kind for mark in marks)):
        own = [mark for mark in marks if mark.kind == kind]
        source = ColumnDataSource(
            {
                "x": axis.place([mark.step for mark in own]),
                "step": [mark.step for mark in own],
                "kind": [kind] * len(own),
                "text": [mark.text for mark in own],
            }
        )
        drawn.append(
            plot.vspan(
                x="x",
                source=source,
                line_color=COLORS[theme].muted,
                line_width=1,
                line_dash=DASHES[place % len(DASHES)],
                legend_label=kind,
            )
        )
    if drawn:
        plot.add_tools(
            HoverTool(renderers=drawn, tooltips=[("", "@kind at step @step{0,0}"), ("", "@text")])
        )
