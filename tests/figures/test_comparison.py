"""Figures of two sides: what is in them, and that no value breaks them."""

from __future__ import annotations

import numpy as np
import pytest
from bokeh.models import GlyphRenderer, Line, Scatter, Span, VArea
from bokeh.plotting import figure

from bifurk_service.figures.baseline import HeldCourse, against_band
from bifurk_service.figures.comparison import (
    Side,
    SideCourse,
    Values,
    densities,
    draw_courses,
    plain_plot,
    profiles,
)
from bifurk_service.figures.document import document
from bifurk_service.figures.lines import ValueScale
from bifurk_service.figures.step_axis import RANGE_NAME, StepAxis
from bifurk_service.figures.theme import COLORS, ThemeName
from bifurk_service.stats.baseline import RunCourse, band_of, leaving

STEPS = np.arange(0, 200, 10)
EDGES = np.linspace(-1.0, 1.0, 5)


def side(name: str, *values: float) -> Side:
    return Side(name=name, values=np.array(values))


def glyphs(plot: figure, kind: type) -> list[GlyphRenderer]:
    return [one for one in plot.renderers if isinstance(one.glyph, kind)]


def labels(plot: figure) -> list[str]:
    return [item.label.value for item in plot.legend[0].items]


def course(name: str, values: Values, **more: object) -> SideCourse:
    x = STEPS.astype(np.float64)
    return SideCourse(name=name, x=x, steps=STEPS, values=values, **more)  # type: ignore[arg-type]


def held(values: Values, *good: float) -> HeldCourse:
    runs = [RunCourse(steps=STEPS, values=np.full(len(STEPS), level)) for level in good]
    band = band_of(STEPS, runs, log_scale=False)
    left = leaving(band, values)
    return HeldCourse(name="this", values=values, band=band, left=left, runs=len(good))


def test_densities_share_their_bins_and_are_told_apart_by_more_than_colour() -> None:
    plot = densities(
        EDGES,
        [side("a", 0, 1, 1, 0), side("b", 0.5, 0.5, 0.5, 0.5)],
        title="w",
        value_label="value",
    )
    first, second = glyphs(plot, Line)
    assert first.data_source.data["x"].tolist() == [-1, -0.5, -0.5, 0, 0, 0.5, 0.5, 1]
    assert first.data_source.data["y"].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert second.data_source.data["x"].tolist() == first.data_source.data["x"].tolist()
    assert (first.glyph.line_dash, second.glyph.line_dash) == ([], [6])
    assert len(glyphs(plot, VArea)) == 1
    assert labels(plot) == ["a", "b"]
    assert plot.y_range.end == pytest.approx(1.08)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(
    "both",
    [
        [side("a", 0, 0, 0, 0), side("b", 0, 0, 0, 0)],
        [side("a", np.nan, np.nan, np.nan, np.nan)],
        [side("a", 0, 5e12, 0, 0), side("b", 1e-12, 0, 0, 0)],
    ],
)
def test_densities_of_nothing_or_of_one_spike_are_drawn(
    both: list[Side], scale: ValueScale
) -> None:
    plot = densities(EDGES, both, title="w", value_label="value", density_scale=scale)
    assert np.isfinite(plot.y_range.end)
    assert plot.y_range.start < plot.y_range.end
    assert document([plot], theme="dark")


def test_profiles_stand_at_the_same_layers_and_mark_the_chosen_one() -> None:
    both = [side("a", 1, 2, np.nan), side("b", 1, 1, 1)]
    plot = profiles(["0", "4", "7"], both, title="std", chosen=1)
    assert plot.xaxis[0].major_label_overrides == {0: "0", 1: "4", 2: "7"}
    markers = [dots.glyph.marker for dots in glyphs(plot, Scatter)]
    assert markers == ["circle", "square"]
    assert [one.location for one in plot.center if isinstance(one, Span)] == [1.0]
    assert labels(plot) == ["a", "b"]


def test_of_many_layers_some_are_named() -> None:
    names = [str(layer) for layer in range(96)]
    plot = profiles(names, [Side(name="a", values=np.ones(96))], title="std")
    assert 20 <= len(plot.xaxis[0].ticker.ticks) <= 30


def test_a_logarithmic_axis_leaves_out_what_it_cannot_place() -> None:
    plot = profiles(["0", "1"], [side("a", 0.0, 2.0)], title="std", value_scale="log")
    shown = glyphs(plot, Line)[0].data_source.data["y"]
    assert np.isnan(shown[0])
    assert shown[1] == 2.0


def test_courses_carry_their_layers_and_the_steps_compared() -> None:
    axis = StepAxis.over(STEPS, "linear")
    values = np.linspace(1, 2, len(STEPS))
    plot = draw_courses(
        axis.plot("std"),
        [
            course("a", values, low=values - 1, high=values + 1, marks=(30,)),
            course("b", values * 2, marks=(50, 999)),
        ],
    )
    assert plot.x_range.name == RANGE_NAME
    assert [line.name for line in glyphs(plot, Line)] == ["a", "b"]
    assert len(glyphs(plot, VArea)) == 1
    spans = [one for one in plot.center if isinstance(one, Span)]
    assert [(one.location, one.line_color) for one in spans] == [
        (30.0, COLORS["light"].lines[0]),
        (50.0, COLORS["light"].lines[1]),
    ]


def test_a_course_of_one_value_is_a_dot() -> None:
    values = np.full(len(STEPS), np.nan)
    values[3] = 1.0
    plot = draw_courses(plain_plot("std", "tokens"), [course("a", values)])
    assert glyphs(plot, Line) == []
    [dot] = glyphs(plot, Scatter)
    assert np.nansum(dot.data_source.data["y"]) == 1.0


def test_long_courses_are_thinned_and_keep_their_spike() -> None:
    steps = np.arange(50_000)
    values = np.zeros(50_000)
    values[31_234] = 7.0
    one = SideCourse(name="a", x=steps.astype(float), steps=steps, values=values)
    plot = draw_courses(plain_plot("std", "tokens"), [one])
    shown = glyphs(plot, Line)[0].data_source.data["y"]
    assert len(shown) <= 4_000
    assert shown.max() == 7.0


def test_less_loss_is_farther_right() -> None:
    assert plain_plot("std", "loss", descending=True).x_range.flipped
    assert not plain_plot("std", "tokens").x_range.flipped


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_band_is_drawn_with_the_run_and_where_it_leaves(theme: ThemeName) -> None:
    values = np.full(len(STEPS), 1.2)
    values[8:] = 3.0
    axis = StepAxis.over(STEPS, "log")
    plot = against_band(axis, held(values, 1.0, 1.2, 1.5), title="std", theme=theme)
    assert labels(plot)[-1] == "leaves at step 80"
    assert "3 good runs" in labels(plot)
    assert len(glyphs(plot, VArea)) == 2
    [span] = [one for one in plot.center if isinstance(one, Span)]
    assert span.location == pytest.approx(np.log10(81))
    assert document([plot], theme=theme)


def test_a_run_that_stays_within_the_band_is_not_marked() -> None:
    plot = against_band(
        StepAxis.over(STEPS, "linear"), held(np.full(len(STEPS), 1.2), 1.0, 1.5), title="std"
    )
    assert not any("leaves" in label for label in labels(plot))
    assert [one for one in plot.center if isinstance(one, Span)] == []


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_run_without_values_leaves_the_band_alone(scale: ValueScale) -> None:
    nothing = held(np.full(len(STEPS), np.nan), 0.0, 0.0, 0.0)
    axis = StepAxis.over(STEPS, "linear")
    plot = against_band(axis, nothing, title="std", value_scale=scale)
    assert len(glyphs(plot, Line)[-1].data_source.data["y"]) == 0
    assert document([plot], theme="light")
