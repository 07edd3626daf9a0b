"""The spectrum at a step against the Marchenko-Pastur curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bokeh.models import LogScale

from bifurk_service.figures.document import document
from bifurk_service.figures.spectrum import NoiseCurve, spectrum

CURVE = NoiseCurve(values=np.linspace(1, 2, 50), density=np.full(50, 1.0), threshold=2.1)
BULK = np.linspace(2, 1, 60)


def drawn(singular: np.ndarray, curve: NoiseCurve | None, outliers: list[float]) -> tuple[Any, Any]:
    plot = spectrum(singular, curve, outliers, title="t", verdict="v")
    assert document([plot], theme="dark")
    bars = plot.renderers[0].data_source.data
    return plot, bars


@pytest.mark.parametrize("largest", [2.5, 40.0])
def test_every_singular_value_is_counted_once(largest: float) -> None:
    singular = np.append(largest, BULK)
    plot, bars = drawn(singular, CURVE, [largest])
    widths = np.asarray(bars["right"]) - np.asarray(bars["left"])
    assert sum(bars["count"]) == 61
    assert float((np.asarray(bars["top"]) * widths).sum()) == pytest.approx(1)
    marks = plot.renderers[-1].data_source.data
    assert marks["x"] == [largest]


def test_an_outlier_far_out_leaves_the_bulk_to_be_seen() -> None:
    near, _ = drawn(np.append(2.5, BULK), CURVE, [2.5])
    far, bars = drawn(np.append(40.0, BULK), CURVE, [40.0])
    assert not isinstance(near.x_scale, LogScale)
    assert isinstance(far.x_scale, LogScale)
    in_bulk = (np.asarray(bars["left"]) < 2) & (np.asarray(bars["right"]) > 1)
    assert in_bulk.sum() >= 15


def test_a_square_matrix_reaches_zero_on_a_logarithmic_axis_too() -> None:
    curve = NoiseCurve(values=np.linspace(0, 2, 50), density=np.full(50, 0.5), threshold=2.1)
    _, bars = drawn(np.append(np.linspace(2, 0, 40), 90.0), curve, [90.0])
    assert sum(bars["count"]) == 41
    assert min(bars["left"]) > 0


@pytest.mark.parametrize("singular", [np.zeros(3), np.full(5, 2.0), np.array([1.0])])
def test_equal_values_without_a_fit_are_drawn(singular: np.ndarray) -> None:
    plot, bars = drawn(singular, None, [])
    assert sum(bars["count"]) == singular.size
    assert len(plot.renderers) == 1
