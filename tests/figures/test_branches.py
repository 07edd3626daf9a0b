"""The layers of a role: colours by branch and by depth, forks, onsets, the profile."""

from __future__ import annotations

import numpy as np
import pytest
from bokeh.models import ColorBar, GlyphRenderer, Line, Scatter, VSpan
from bokeh.plotting import figure

from bifurk_service.figures.branches import (
    ForkMark,
    LayerCourse,
    Profile,
    layer_colors,
    profile,
    trajectories,
)
from bifurk_service.figures.document import document
from bifurk_service.figures.lines import Course
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.figures.theme import COLORS

STEPS = np.arange(0, 100, 10)
BRANCHES = ("lower branch", "upper branch")


def layer(number: int, branch: int | None = None, **more: object) -> LayerCourse:
    values = np.linspace(1, 2 + number, 10)
    named = Course(name=f"blocks.{number}.up", steps=STEPS, values=values)
    return LayerCourse(layer=number, course=named, branch=branch, **more)  # type: ignore[arg-type]


def drawn(plot: figure, kind: type) -> list[GlyphRenderer]:
    return [one for one in plot.renderers if isinstance(one.glyph, kind)]


def axis() -> StepAxis:
    return StepAxis.over(STEPS, "linear")


def test_layers_are_coloured_by_branch() -> None:
    layers = [layer(0, 0), layer(1, 1), layer(2, None)]
    plot = trajectories(axis(), layers, title="std", branches=BRANCHES)
    colors = COLORS["light"]
    found = [one.glyph.line_color for one in drawn(plot, Line)]
    assert found == [colors.lines[0], colors.lines[1], colors.muted]
    told = [item.label.value for item in plot.legend[0].items]
    assert told == ["lower branch", "upper branch", "in no branch"]
    assert not plot.select(ColorBar)


def test_without_a_fork_layers_are_coloured_by_depth_with_a_bar() -> None:
    layers = [layer(n) for n in range(5)]
    plot = trajectories(axis(), layers, title="std")
    assert len({one.glyph.line_color for one in drawn(plot, Line)}) == 5
    [bar] = plot.select(ColorBar)
    assert (bar.color_mapper.low, bar.color_mapper.high) == (0, 4)
    assert bar.color_mapper.palette[0] == drawn(plot, Line)[0].glyph.line_color
    assert not plot.legend


def test_forks_are_lines_that_lead_to_their_alert() -> None:
    fork = ForkMark(step=50, severity="warning", sentence="it parted", url="/alerts/7")
    plot = trajectories(axis(), [layer(0, 0)], title="std", branches=BRANCHES, forks=[fork])
    [line] = drawn(plot, VSpan)
    held = line.data_source.data
    assert (held["x"].tolist(), held["url"], held["sentence"]) == (
        [50],
        ["/alerts/7"],
        ["it parted"],
    )


def test_a_ring_ends_each_onset_and_one_beyond_the_course_is_left_out() -> None:
    layers = [layer(0, 0, onset=(30, 35)), layer(1, 1, onset=(500, 510)), layer(2, 1)]
    plot = trajectories(axis(), layers, title="std", branches=BRANCHES)
    [rings] = [one for one in drawn(plot, Scatter) if one.name == "onsets"]
    held = rings.data_source.data
    assert (held["x"].tolist(), held["name"]) == ([40], ["blocks.0.up"])
    assert held["y"] == [pytest.approx(layers[0].course.values[4])]


def test_values_that_a_logarithm_cannot_place_are_left_out() -> None:
    values = np.array([-1.0, 0.0, 1.0])
    negative = LayerCourse(
        layer=0, course=Course(name="a", steps=np.array([0, 1, 2]), values=values)
    )
    plot = trajectories(axis(), [negative], title="std", value_scale="log")
    [line] = drawn(plot, Line)
    assert np.isnan(line.data_source.data["y"]).tolist() == [True, True, False]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_any_number_of_layers_can_be_drawn(count: int) -> None:
    layers = [layer(n) for n in range(count)]
    shown = Profile(step=90, values=np.full(count, np.nan))
    plots = [
        trajectories(axis(), layers, title="std"),
        profile(layers, shown, None, title="std"),
    ]
    assert document(plots, theme="dark")


def test_the_profile_has_a_dot_a_layer_and_the_earlier_step_behind() -> None:
    layers = [layer(3, 0), layer(201, 1), layer(202, None)]
    shown = Profile(step=90, values=np.array([1.0, np.nan, 3.0]))
    earlier = Profile(step=0, values=np.array([1.0, 1.0, 1.0]))
    plot = profile(layers, shown, earlier, title="std", branches=BRANCHES)
    [dots] = drawn(plot, Scatter)
    assert dots.data_source.data["layer"] == [3, 201, 202]
    assert dots.data_source.data["color"] == layer_colors(layers, BRANCHES, "light")
    assert dots.data_source.data["branch"] == ["lower branch", "upper branch", "in no branch"]
    assert plot.xaxis[0].major_label_overrides == {0: "3", 1: "201", 2: "202"}
    assert [item.label.value for item in plot.legend[0].items] == ["at step 0", "at step 90"]
