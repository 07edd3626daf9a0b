"""The histogram at a step against the Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from bifurk_service.figures.document import document
from bifurk_service.figures.histogram import gaussian_curve, histogram

EDGES = np.linspace(-2, 2, 5)
DENSITY = np.array([0.0, 0.5, 0.5, 0.0])


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_bins_with_values_are_bars(scale: Any) -> None:
    curve = gaussian_curve(-2, 2, mean=0, std=0.5, unit="weight")
    plot = histogram(EDGES, DENSITY, curve, title="t", value_label="v", density_scale=scale)
    bars, line = plot.renderers
    assert list(bars.data_source.data["left"]) == [-1.0, 0.0]
    assert (line.data_source.data["y"] > 0).all()
    assert document([plot], theme="dark")


def test_without_a_spread_there_is_no_curve() -> None:
    assert gaussian_curve(-1, 1, mean=0.5, std=0, unit="weight") is None
    plot = histogram(EDGES, DENSITY, None, title="t", value_label="v")
    assert len(plot.renderers) == 1


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_histogram_of_nothing_is_drawn(scale: Any) -> None:
    plot = histogram(EDGES, np.zeros(4), None, title="t", value_label="v", density_scale=scale)
    assert document([plot], theme="light")


def test_the_curve_is_the_gaussians_density_in_every_unit() -> None:
    mean, std = 0.3, 2.0
    weight = gaussian_curve(-10, 10, mean=mean, std=std, unit="weight")
    sigma = gaussian_curve(-6, 6, mean=mean, std=std, unit="sigma")
    decades = gaussian_curve(-6, 2, mean=mean, std=std, unit="log_magnitude")
    assert weight is not None
    assert sigma is not None
    assert decades is not None
    assert weight[1] == pytest.approx(norm.pdf(weight[0], mean, std))
    assert sigma[1] == pytest.approx(norm.pdf(sigma[0], mean / std, 1))
    for x, y in (weight, sigma, decades):
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)
