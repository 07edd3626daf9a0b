"""The garden as a figure: what is in it, for any tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bokeh.models import HoverTool, LinearColorMapper, LogColorMapper, OpenURL, TapTool
from bokeh.plotting import figure

from bifurk_service.figures.columns import columns_of
from bifurk_service.figures.document import document
from bifurk_service.figures.fork_marks import TOLD, Fork
from bifurk_service.figures.garden import FAN, Planting, garden
from bifurk_service.figures.step_axis import StepAxis
from bifurk_service.stats.spans import single_steps

STEPS = np.array([0, 10, 20, 30], dtype=np.int64)
FORK = Fork(step=20, severity="warning", sentence="<b>it</b> forked", url="/alerts/7")


def planting(densities: Any = None, **others: Any) -> Planting:
    densities = np.full((5, 4), 0.2) if densities is None else densities
    pictures = [columns_of(single_steps(STEPS, densities), columns=100, scale="linear")]
    fields: dict[str, Any] = {
        "low": -1.0,
        "high": 1.0,
        "pictures": pictures,
        "steps": STEPS,
        "fan": {name: np.linspace(0, 1, 4) for name in ("min", "quantile_p50", "max")},
        **others,
    }
    return Planting(**fields)


def drawn(found: Planting, *, density: Any = "linear", theme: Any = "light") -> figure:
    axis = StepAxis.over(STEPS, "linear")
    return garden(axis, found, title="t", value_label="value", density=density, theme=theme)


def glyphs(plot: Any, name: str) -> list[Any]:
    return [one for one in plot.renderers if type(one.glyph).__name__ == name]


def test_the_picture_spans_the_values_and_the_steps() -> None:
    plot = drawn(planting())
    [image] = glyphs(plot, "Image")
    assert (plot.y_range.start, plot.y_range.end) == (-1.0, 1.0)
    assert (image.glyph.y, image.glyph.dh) == (-1.0, 2.0)
    assert image.glyph.x <= 0
    assert image.glyph.x + image.glyph.dw >= 30
    assert image.data_source.data["image"][0].shape == (5, 4)


def test_quantiles_of_a_pair_share_a_line_of_the_legend() -> None:
    plot = drawn(planting())
    lines = glyphs(plot, "MultiLine")
    assert [len(one.data_source.data["ys"]) for one in lines] == [2, 1]
    labels = [item.label.value for item in plot.legend[0].items]
    assert labels == [FAN["min"].group, FAN["quantile_p50"].group]


@pytest.mark.parametrize(
    ("density", "mapper"), [("linear", LinearColorMapper), ("log", LogColorMapper)]
)
def test_one_spike_does_not_dim_the_rest(density: Any, mapper: Any) -> None:
    densities = np.full((100, 4), 1.0)
    densities[50, 0] = 1e6
    [image] = glyphs(drawn(planting(densities), density=density), "Image")
    assert type(image.glyph.color_mapper) is mapper
    assert image.glyph.color_mapper.high == pytest.approx(1.0)


def test_nothing_where_a_density_is_zero_is_painted_on_a_logarithmic_scale() -> None:
    densities = np.array([[0.0, 1.0, 1.0, 1.0]] * 5)
    [image] = glyphs(drawn(planting(densities), density="log"), "Image")
    assert np.isnan(image.data_source.data["image"][0][:, 0]).all()


@pytest.mark.parametrize("value", [np.nan, 0.0])
@pytest.mark.parametrize("density", ["linear", "log"])
def test_a_tensor_without_a_density_is_drawn_empty(value: float, density: Any) -> None:
    empty = planting(np.full((5, 4), value), fan={"min": np.full(4, np.nan)})
    plot = drawn(empty, density=density)
    assert not glyphs(plot, "MultiLine")
    assert document([plot], theme="dark")


def test_one_snapshot_is_drawn() -> None:
    one = planting(
        pictures=[
            columns_of(single_steps(STEPS[:1], np.full((5, 1), 0.5)), columns=9, scale="linear")
        ],
        steps=STEPS[:1],
        fan={"quantile_p50": np.array([0.0])},
    )
    assert glyphs(drawn(one), "Scatter")


def test_forks_are_marked_and_lead_to_their_alerts() -> None:
    plot = drawn(planting(forks=[FORK]))
    [line] = glyphs(plot, "VSpan")
    data = line.data_source.data
    assert (list(data["x"]), data["url"], data["marker"]) == ([20.0], ["/alerts/7"], ["triangle"])
    tap = plot.select_one(TapTool)
    assert isinstance(tap.callback, OpenURL)
    assert [type(one.glyph).__name__ for one in tap.renderers] == ["Scatter"]
    assert "{safe}" not in tap.callback.url
    assert any(tool.tooltips == TOLD for tool in plot.select(HoverTool))
    assert "{safe}" not in TOLD


def test_heads_of_forks_at_one_step_do_not_hide_each_other() -> None:
    forks = [FORK, FORK, replace(FORK, step=0), replace(FORK, severity="info")]
    [line] = glyphs(drawn(planting(forks=forks)), "VSpan")
    data = line.data_source.data
    assert len({(x, round(y, 6)) for x, y in zip(data["x"], data["y"], strict=True)}) == 4
    assert data["y"][0] == data["y"][2]


def test_modes_and_broken_values_are_marked() -> None:
    plot = drawn(planting(modes=[(10, -0.5), (10, 0.5)], broken=[(30, 4)]))
    labels = [item.label.value for item in plot.legend[0].items]
    assert labels[-2:] == ["modes", "NaN or infinite"]
    modes, broken = glyphs(plot, "Scatter")
    assert list(modes.data_source.data["y"]) == [-0.5, 0.5]
    assert list(broken.data_source.data["count"]) == [4]
