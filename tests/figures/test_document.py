"""What a browser is sent of a figure: names as they are, never as formulas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bokeh.plotting import figure

from bifurk_service.figures.branches import LayerCourse, Profile, profile, trajectories
from bifurk_service.figures.columns import columns_of
from bifurk_service.figures.comparison import Side, SideCourse, densities, draw_courses, profiles
from bifurk_service.figures.comparison import plain_plot as compared_plot
from bifurk_service.figures.document import document
from bifurk_service.figures.evidence import evidence
from bifurk_service.figures.heatmap import heatmap
from bifurk_service.figures.histogram import histogram
from bifurk_service.figures.lines import Course, lines
from bifurk_service.figures.onset import OnsetRow, onsets
from bifurk_service.figures.spectrum import spectrum
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.stats.spans import single_steps

STEPS = np.arange(0, 40, 10)
VALUES = np.array([1.0, 2.0, 3.0, 4.0])
FORMULAS = ("$$\\frac{a}{b}$$", "\\(x\\)", "of \\[y\\] here", "$$")


def log_axis() -> StepAxis:
    return StepAxis.over(STEPS, "log")


def figures_named(name: str) -> Iterator[figure]:
    """Every figure whose title or axis says what a user named."""
    course = Course(name=name, steps=STEPS, values=VALUES)
    layers = [LayerCourse(layer=0, course=course)]
    side = Side(name=name, values=VALUES)
    yield lines(log_axis(), [course, course], title=name)
    columns = columns_of(single_steps(STEPS, VALUES[None]), columns=9, scale="log")
    yield heatmap(log_axis(), [name], columns, title=name, coloring="linear")
    yield onsets([OnsetRow(name=name, first=0, last=1)], detected=3, severity="info")
    yield evidence(log_axis(), [course], [], title=name, labels=[name])
    yield trajectories(log_axis(), layers, title=name)
    yield profile(layers, Profile(step=0, values=VALUES[:1]), None, title=name)
    yield densities(np.arange(5.0), [side, side], title=name, value_label=name)
    yield profiles([name] * 4, [side, side], title=name)
    yield histogram(np.arange(5.0), VALUES, None, title=name, value_label=name)
    yield spectrum(VALUES, None, [], title=name, verdict=name)
    plot = compared_plot(name, name)
    yield draw_courses(
        plot, [SideCourse(name=name, x=STEPS.astype(float), steps=STEPS, values=VALUES)]
    )


def parsed_by_bokeh(item: Any) -> Iterator[str]:
    """The texts that BokehJS looks for formulas in: of titles, axes' labels, and their ticks."""
    if isinstance(item, list):
        for one in item:
            yield from parsed_by_bokeh(one)
    elif isinstance(item, dict):
        attributes = item.get("attributes", {})
        texts = [attributes.get("axis_label")]
        if item.get("name") == "Title":
            texts.append(attributes.get("text"))
        overrides = attributes.get("major_label_overrides") or {}
        texts += [label for _, label in overrides.get("entries", [])] if overrides else []
        yield from (one for one in texts if isinstance(one, str))
        for one in item.values():
            yield from parsed_by_bokeh(one)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_name_is_a_formula(name: str) -> None:
    for plot in figures_named(name):
        item = json.loads(document([plot], theme="light"))
        assert name in json.dumps(item, ensure_ascii=False).replace("\\\\", "\\")
        assert not [one for one in parsed_by_bokeh(item) if name in one], plot.title


def test_other_texts_stay_what_they_were() -> None:
    for plot in figures_named("blocks.0 ($ 5)"):
        item = json.loads(document([plot], theme="light"))
        assert "PlainText" not in json.dumps(item)
        assert [one for one in parsed_by_bokeh(item) if "blocks.0 ($ 5)" in one]


def test_a_picture_over_a_logarithmic_axis_tells_steps_not_places() -> None:
    values = np.arange(16.0).reshape(4, 4)
    for scale in ("linear", "log"):
        axis = StepAxis.over(STEPS, scale)
        columns = columns_of(single_steps(STEPS, values), columns=9, scale=scale)
        plot = heatmap(axis, list("abcd"), columns, title="t", coloring="linear")
        told = json.dumps([tool.tooltips for tool in plot.hover])
        assert "10^" not in told
        assert ("$x{0,0}" in told, "@step{0,0}" in told) == (scale == "linear", scale == "log")
        strips = [one for one in plot.renderers if one.name == "strips"]
        assert len(strips) == (scale == "log")
        for one in strips:
            assert one.data_source.data["step"].tolist() == columns.steps.tolist()
