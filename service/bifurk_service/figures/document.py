"""Figures as a page takes them: one JSON document, its parts linked."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.plotting import figure

from bifurk_service.figures.theme import ThemeName, bokeh_theme


def document(figures: Sequence[figure], *, theme: ThemeName) -> str:
    """Figures one below the other as JSON for ``Bokeh.embed.embed_item``."""
    stacked = column(list(figures), sizing_mode="stretch_width")
    return json.dumps(json_item(stacked, theme=bokeh_theme(theme)))
