"""What an alert's figures hold: courses, onset, marks, intervals in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bokeh.models import BoxAnnotation, GlyphRenderer, HBar, Line, MultiLine, Scatter, Span, VSpan
from bokeh.plotting import figure

from bifurk_service.figures.document import document
from bifurk_service.figures.evidence import (
    Onset,
    RunMark,
    draw_marks,
    draw_onset,
    evidence,
)
from bifurk_service.figures.legend import place_legend
from bifurk_service.figures.lines import Course
from bifurk_service.figures.onset import OnsetRow, onsets
from bifurk_service.figures.shades import shades
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName

STEPS = np.arange(0, 100, 10)
ONSET = Onset(first=30, last=40, detected=60, severity="warning")


def course(name: str, values: Any = None) -> Course:
    return Course(name=name, steps=STEPS, values=np.ones(10) if values is None else values)


def glyphs(plot: figure, kind: type) -> list[GlyphRenderer]:
    return [one for one in plot.renderers if isinstance(one.glyph, kind)]


def axis() -> StepAxis:
    return StepAxis.over(STEPS, "linear")


def test_affected_courses_stand_before_faint_ones() -> None:
    others = [course(f"other {n}") for n in range(3)]
    plot = evidence(axis(), [course("a"), course("b")], others, title="std")
    assert [line.name for line in glyphs(plot, Line)] == ["a", "b"]
    [faint] = glyphs(plot, MultiLine)
    assert faint.data_source.data["name"] == ["other 0", "other 1", "other 2"]
    assert plot.renderers.index(faint) == 0
    assert [item.label.value for item in plot.legend[0].items] == ["a", "b"]


def test_many_tensors_are_shaded_by_onset_without_a_legend() -> None:
    plot = evidence(axis(), [course(f"t{n}") for n in range(12)], [], title="std")
    colors = [line.glyph.line_color for line in glyphs(plot, Line)]
    assert colors == list(shades("light", 12))
    assert not plot.legend


def test_branches_have_one_legend_entry_each() -> None:
    affected = [course("a"), course("b"), course("c")]
    plot = evidence(axis(), affected, [], title="std", groups=["upper", "lower", "upper"])
    assert [item.label.value for item in plot.legend[0].items] == ["upper", "lower"]


def test_a_single_value_is_a_dot_and_no_value_is_no_error() -> None:
    lone = np.full(10, np.nan)
    lone[4] = 2.0
    nothing = Course(name="none", steps=STEPS[:0], values=np.zeros(0))
    plot = evidence(axis(), [course("lone", lone), nothing], [], title="std")
    assert [dot.name for dot in glyphs(plot, Scatter)] == ["lone"]
    assert document([plot], theme="light")


def test_classes_are_named_on_the_axis() -> None:
    plot = evidence(axis(), [course("a")], [], title="shape_class", labels=("gaussian", "flat"))
    assert plot.yaxis[0].major_label_overrides == {0: "gaussian", 1: "flat"}


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_onset_is_a_band_and_the_detection_a_line(scale: Any, theme: ThemeName) -> None:
    over = StepAxis.over(STEPS, scale)
    plot = evidence(over, [course("a")], [], title="std", theme=theme)
    draw_onset(plot, over, ONSET, theme=theme)
    [band] = [one for one in plot.center if isinstance(one, BoxAnnotation)]
    [line] = [one for one in plot.center if isinstance(one, Span)]
    assert [band.left, band.right, line.location] == over.place([30, 40, 60]).tolist()
    assert band.fill_color == COLORS[theme].severities["warning"]


def test_marks_are_lines_of_one_pattern_a_kind() -> None:
    over = axis()
    plot = evidence(over, [course("a")], [], title="std")
    marks = [
        RunMark(kind="evaluation", step=20),
        RunMark(kind="resume", step=50, text="<b>"),
        RunMark(kind="evaluation", step=70),
    ]
    draw_marks(plot, over, marks, theme="light")
    drawn = glyphs(plot, VSpan)
    assert [one.data_source.data["step"] for one in drawn] == [[20, 70], [50]]
    assert len({str(one.glyph.line_dash) for one in drawn}) == 2
    assert [item.label.value for item in plot.legend[0].items] == ["evaluation", "resume"]


@pytest.mark.parametrize(("name", "columns"), [("short", 2), ("blocks.0.mlp.up.weight", 1)])
def test_a_legend_makes_the_figure_higher_and_never_wider_than_a_phone(
    name: str, columns: int
) -> None:
    plot = evidence(axis(), [course(f"{name}{n}") for n in range(4)], [], title="std")
    height = plot.height
    place_legend(plot)
    assert plot.below.count(plot.legend[0]) == 1
    assert plot.legend[0].ncols == columns
    assert plot.height > height


def test_a_long_name_is_shortened_in_the_legend_alone() -> None:
    names = [f"model.{'x' * 60}.layers.{n}.weight" for n in range(2)]
    plot = evidence(axis(), [course(name) for name in names], [], title="std")
    labels = [item.label.value for item in plot.legend[0].items]
    assert all(len(label) == 40 and label.endswith(".weight") for label in labels)
    assert [line.name for line in glyphs(plot, Line)] == names


def test_marks_of_nothing_draw_nothing() -> None:
    plot = axis().plot("empty")
    draw_marks(plot, axis(), [], theme="light")
    assert not plot.renderers


def test_intervals_are_bars_from_top_to_bottom_that_lead_to_tensors() -> None:
    rows = [
        OnsetRow(name="late", first=40, last=60, url="/runs/1/tensors/2"),
        OnsetRow(name="early", first=10, last=10, color="#123456"),
    ]
    plot = onsets(rows, detected=80, severity="info")
    [bars] = glyphs(plot, HBar)
    held = bars.data_source.data
    assert held["name"] == ["late", "early"]
    assert (held["left"].tolist(), held["right"].tolist()) == ([40, 10], [60, 10])
    assert held["color"] == [COLORS["light"].accent, "#123456"]
    assert (plot.y_range.start, plot.y_range.end) == (2, 0)
    assert plot.yaxis[0].major_label_overrides == {0.5: "late", 1.5: "early"}
    assert plot.x_range.name is None, "its range is its own, not the page's"
    assert plot.x_range.start < 10 < 80 < plot.x_range.end


def test_intervals_that_are_one_step_have_a_place() -> None:
    plot = onsets([OnsetRow(name="a", first=0, last=0)], detected=0, severity="critical")
    assert plot.x_range.start < plot.x_range.end
    assert document([plot], theme="dark")


def test_shades_are_told_from_the_ground_and_from_one_another() -> None:
    assert len(set(shades("light", 9))) == 9
    assert len(shades("dark", 1)) == 1
    assert shades("light", 0) == ()
