"""Figures as a page takes them: one JSON document, its parts linked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import Axis, PlainText, Title
from bokeh.plotting import figure

from bifurk_service.figures.theme import ThemeName, bokeh_theme

BEGIN_FORMULAS: Final = ("$$", r"\(", r"\[")
"""Between these and their like Bokeh sees TeX, and asks another host for what draws it."""


def document(figures: Sequence[figure], *, theme: ThemeName) -> str:
    """Figures one below the other as JSON for ``Bokeh.embed.embed_item``."""
    for plot in figures:
        _take_names_as_they_are(plot)
    stacked = column(list(figures), sizing_mode="stretch_width")
    return json.dumps(json_item(stacked, theme=bokeh_theme(theme)))


def _take_names_as_they_are(plot: figure) -> None:
    """No text of a figure is a formula: titles and axes name runs, tensors and scalars."""
    for part in (plot.title, *plot.above, *plot.below, *plot.left, *plot.right, *plot.center):
        if isinstance(part, Title):
            part.text = _plain(part.text)
        elif isinstance(part, Axis):
            part.axis_label = _plain(part.axis_label)
            part.major_label_overrides = {
                at: _plain(label) for at, label in part.major_label_overrides.items()
            }


def _plain(text: Any) -> Any:
    if isinstance(text, str) and any(begin in text for begin in BEGIN_FORMULAS):
        return PlainText(text=text)
    return text
