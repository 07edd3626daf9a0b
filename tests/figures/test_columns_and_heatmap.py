"""Courses become columns without losing an extreme, and a heatmap shows them with its alerts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bokeh.models import Scatter
from hypothesis import given
from hypothesis import strategies as st

from bifurk_service.figures.change import change_since_first
from bifurk_service.figures.columns import columns_of, extremes_of, narrow_enough
from bifurk_service.figures.document import document
from bifurk_service.figures.heatmap import AlertMark, heatmap
from bifurk_service.figures.lines import Course, StepMark, lines
from bifurk_service.figures.sparkline import sparkline
from bifurk_service.figures.step_axis import StepAxis, StepScale, place
from bifurk_service.stats.spans import Spans, single_steps

STEPS = np.arange(0, 5_000, 10)


@given(
    spike=st.integers(0, 499),
    columns=st.integers(2, 300),
    scale=st.sampled_from(["linear", "log"]),
)
def test_no_spike_is_lost(spike: int, columns: int, scale: StepScale) -> None:
    values = np.sin(STEPS / 400)[None, :].repeat(2, axis=0)
    values[1, spike] = -40.0
    found = columns_of(single_steps(STEPS, values), columns=columns, scale=scale)
    assert found.values.shape[1] <= columns
    assert found.values[1].min() == -40.0
    assert found.values[0].min() > -2


def test_every_step_has_a_column_of_its_own_where_there_is_room() -> None:
    values = np.arange(8.0)[None, :]
    found = columns_of(single_steps(np.arange(0, 80, 10), values), columns=600, scale="linear")
    np.testing.assert_array_equal(found.values, values)
    assert (found.left, found.right) == (-5.0, 75.0)


def test_a_gap_shows_what_was_before_it() -> None:
    steps = np.array([0, 1, 2, 50])
    found = columns_of(
        single_steps(steps, np.array([[1.0, 2.0, 3.0, 9.0]])), columns=51, scale="linear"
    )
    assert found.values[0, :3].tolist() == [1.0, 2.0, 3.0]
    assert set(found.values[0, 3:50]) == {3.0}
    assert found.values[0, 50] == 9.0


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_stretches_draw_the_extremes_of_the_steps_in_them(scale: StepScale) -> None:
    steps = np.arange(4_000)
    values = np.sin(steps / 400)[None, :].repeat(2, axis=0)
    values[1, 2_345] = -40.0
    narrow = narrow_enough(3_999, columns=200, scale=scale)
    firsts = np.arange(0, 4_000, 8)
    is_narrow = narrow(firsts, firsts + 7)
    assert is_narrow[-1]
    assert is_narrow.all() == (scale == "linear")
    stretches = values.reshape(2, -1, 8)
    spans = Spans(
        first=firsts, last=firsts + 7, low=stretches.min(axis=2), high=stretches.max(axis=2)
    )
    found = columns_of(spans, columns=200, scale=scale)
    single = columns_of(single_steps(steps, values), columns=200, scale=scale)
    assert found.values[1].min() == single.values[1].min() == -40.0
    assert found.values[0].max() == single.values[0].max()
    assert (found.left, found.steps[-1]) == pytest.approx((single.left, 3_999), abs=20)


def test_of_a_stretch_the_value_farthest_from_the_median_stands() -> None:
    low, high = np.array([[1.0, -9.0, 1.0, np.nan]]), np.array([[1.0, 2.0, 4.0, np.nan]])
    spans = Spans(first=np.arange(4), last=np.arange(4), low=low, high=high)
    np.testing.assert_array_equal(extremes_of(spans), [[1.0, -9.0, 4.0, np.nan]])
    some = spans.where(np.array([True, False, True, False]))
    np.testing.assert_array_equal(extremes_of(some), [[1.0, 4.0]])
    single = single_steps(np.arange(4), low)
    assert extremes_of(single.where(np.ones(4, dtype=bool))).tolist()[0][:3] == [1.0, -9.0, 1.0]


def test_extremes_change_as_their_values_do() -> None:
    low, high = np.array([[2.0, 1.0]]), np.array([[2.0, 8.0]])
    spans = Spans(first=np.array([0, 1]), last=np.array([0, 8]), low=low, high=high)
    change = change_since_first(spans, log_scale=True)
    np.testing.assert_array_equal(change.low, [[0.0, -1.0]])
    np.testing.assert_array_equal(change.high, [[0.0, 2.0]])


def test_what_has_no_value_stays_without() -> None:
    values = np.array([[np.nan] * 4, [1.0, np.nan, np.nan, 2.0]])
    found = columns_of(single_steps(np.arange(4), values), columns=4, scale="linear")
    assert np.isnan(found.values[0]).all()
    assert np.isnan(found.values[1, 1:3]).all()


def test_one_step_is_a_picture_too() -> None:
    found = columns_of(single_steps(np.array([7]), np.array([[3.0]])), columns=600, scale="log")
    assert found.right - found.left == 1.0
    assert found.values.tolist() == [[3.0]]


def test_change_is_in_doublings_or_in_own_spreads() -> None:
    multiplied = np.array([[np.nan, 2.0, 4.0, 1.0], [0.0, -1.0, 3.0, 6.0]])
    doubled = change_since_first(single_steps(np.arange(4), multiplied), log_scale=True).low
    np.testing.assert_array_equal(doubled[0], [np.nan, 0.0, 1.0, -1.0])
    np.testing.assert_array_equal(doubled[1], [np.nan, np.nan, 0.0, 1.0])
    summed = single_steps(np.arange(2), np.array([[1.0, 3.0], [5.0, 5.0]]))
    added = change_since_first(summed, log_scale=False).low
    np.testing.assert_array_equal(added, [[0.0, 2.0], [0.0, 0.0]])


def test_a_log_axis_has_a_place_for_step_zero_and_names_steps() -> None:
    axis = StepAxis.over(STEPS, "log")
    plot = axis.plot("steps")
    assert axis.range.start == 0.0
    assert place([999], "log")[0] == pytest.approx(3.0)
    labels = plot.xaxis[0].major_label_overrides
    assert labels[0.0] == "0"
    assert labels[float(place([1000], "log")[0])] == "1,000"


def test_an_axis_looks_at_what_was_asked_and_resets_to_all() -> None:
    axis = StepAxis.over(STEPS, "linear", first=100, last=300)
    shown = axis.range
    assert (shown.start, shown.end, shown.reset_start, shown.reset_end) == (100, 300, 0, 4990)
    turned = StepAxis.over(STEPS, "linear", first=300, last=100).range
    assert (turned.start, turned.end) == (0, 4990)


def test_a_heatmap_has_a_row_a_tensor_and_marks_that_lead_to_alerts() -> None:
    columns = columns_of(single_steps(STEPS, np.ones((3, 500))), columns=50, scale="linear")
    mark = AlertMark(step=500, rows=[0, 2], severity="critical", sentence="<b>", url="/alerts/7")
    plot = heatmap(
        StepAxis.over(STEPS, "linear"),
        ["a", "b", "c"],
        columns,
        title="std",
        coloring="linear",
        alerts=[mark],
    )
    cells, marks = plot.renderers
    assert cells.data_source.data["name"] == ["a", "b", "c"]
    assert isinstance(marks.glyph, Scatter)
    assert marks.data_source.data["y"] == [0.5, 2.5]
    assert marks.data_source.data["url"] == ["/alerts/7"] * 2


@pytest.mark.parametrize("coloring", ["linear", "log", "change"])
@pytest.mark.parametrize("values", [np.nan, 0.0, 3.0, -1.0])
def test_colours_have_a_range_whatever_the_values(coloring: str, values: float) -> None:
    columns = columns_of(single_steps(STEPS, np.full((2, 500), values)), columns=20, scale="linear")
    axis = StepAxis.over(STEPS, "linear")
    plot = heatmap(axis, ["a", "b"], columns, title="", coloring=coloring)  # type: ignore[arg-type]
    mapper = plot.renderers[0].glyph.color_mapper
    assert mapper.low < mapper.high


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_document_is_json_of_linked_figures(theme: str) -> None:
    axis = StepAxis.over(STEPS, "linear")
    course = Course(name="loss", steps=STEPS, values=np.where(STEPS % 30, 1.0, np.nan))
    mark = StepMark(step=40, color="#ff0000")
    plots = [lines(axis, [course], title=name, marks=[mark]) for name in ("one", "two")]
    made = json.loads(document(plots, theme=theme))  # type: ignore[arg-type]
    text = json.dumps(made)
    assert made["doc"]["roots"]
    assert text.count('"reset_start"') == 1, "one range for both"


def test_a_logarithmic_scale_leaves_out_what_it_cannot_place() -> None:
    axis = StepAxis.over(np.arange(3), "linear")
    course = Course(name="loss", steps=np.arange(3), values=np.array([1.0, 0.0, -2.0]))
    plot = lines(axis, [course], title="loss", value_scale="log")
    assert np.isnan(plot.renderers[0].data_source.data["y"][1:]).all()


@pytest.mark.parametrize(
    ("values", "moves"), [([], 0), ([1.0], 0), ([1, 1], 1), ([1, 2, np.nan, 3, 4], 2)]
)
def test_a_sparkline_breaks_where_there_is_no_value(values: list[float], moves: int) -> None:
    assert sparkline(values).count("M") == moves
