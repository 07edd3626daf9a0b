"""Courses as lines: what the axis of values shows."""

from __future__ import annotations

import numpy as np
import pytest
from bokeh.models import DataRange1d
from bokeh.plotting import figure

from bifurk_service.figures.lines import Course, lines
from bifurk_service.figures.step_axis import StepAxis

STEPS = np.arange(4)


def drawn(*values: list[float]) -> figure:
    courses = [
        Course(name=str(place), steps=STEPS, values=np.array(one))
        for place, one in enumerate(values)
    ]
    return lines(StepAxis.over(STEPS, "linear"), courses, title="t")


@pytest.mark.parametrize("value", [3e-4, -2.0, 1e12])
def test_a_constant_is_told_from_zero(value: float) -> None:
    shown = drawn([value, np.nan, value, value]).y_range
    assert shown.start < value < shown.end
    assert not shown.start < 0 < shown.end


def test_zero_alone_has_room_too() -> None:
    shown = drawn([0.0] * 4).y_range
    assert (shown.start, shown.end) == (-0.5, 0.5)


def test_other_courses_are_left_to_bokeh() -> None:
    for values in ([[1.0] * 4, [2.0] * 4], [[1.0, 2.0, 1.0, 1.0]], [[np.nan] * 4]):
        assert isinstance(drawn(*values).y_range, DataRange1d)
