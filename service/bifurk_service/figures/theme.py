"""How figures look: one palette for light, one for dark, the same as the page around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

from bokeh.palettes import Cividis256, Viridis256, interp_palette
from bokeh.themes import Theme

ThemeName: TypeAlias = Literal["light", "dark"]

FONT: Final = "system-ui, sans-serif"
HEIGHT_LINES: Final = 180
"""Pixels of a figure of lines; heatmaps are as high as their rows need."""
LIFT: Final = 30
"""Darkest colours of a sequential palette that are left out on dark ground, to tell from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colors:
    """What is drawn in what colour; all as ``#rrggbb``.

    Attributes:
        severities: by the name of the severity. lines: of series, in order, told apart by people
            who see no difference between red and green.
    """

    ground: str
    text: str
    muted: str
    grid: str
    accent: str
    middle: str
    severities: Mapping[str, str]
    lines: tuple[str, ...]


_SEVERITIES: Final = {"info": "#4c8dff", "warning": "#e39b1d", "critical": "#e0453e"}
COLORS: Final[Mapping[ThemeName, Colors]] = {
    "light": Colors(
        ground="#ffffff",
        text="#1c2330",
        muted="#5b6575",
        grid="#e3e7ee",
        accent="#2f5fd0",
        middle="#f4f4f4",
        severities=_SEVERITIES,
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#444444"),
    ),
    "dark": Colors(
        ground="#151a22",
        text="#e6eaf2",
        muted="#98a3b5",
        grid="#2a3240",
        accent="#7aa2ff",
        middle="#20262f",
        severities=_SEVERITIES,
        lines=("#56b4e9", "#e69f00", "#2fc99a", "#e08fc0", "#d8c84a", "#8fb8ff", "#cccccc"),
    ),
}


def sequential(theme: ThemeName) -> tuple[str, ...]:
    """Colours from least to most; the least is near the ground."""
    return tuple(Cividis256[::-1]) if theme == "light" else tuple(Viridis256[LIFT:])


def diverging(theme: ThemeName) -> tuple[str, ...]:
    """Colours from a fall over no change, near the ground, to a rise."""
    middle = COLORS[theme].middle
    return tuple(interp_palette(("#1f66c1", "#7db0ea", middle, "#f0a08a", "#c22f1f"), 256))


@cache
def bokeh_theme(theme: ThemeName) -> Theme:
    """Bokeh's settings for all figures."""
    colors = COLORS[theme]
    return Theme(
        json={
            "attrs": {
                "Plot": {
                    "background_fill_color": colors.ground,
                    "border_fill_color": colors.ground,
                    "outline_line_color": colors.grid,
                    "min_border_left": 64,
                    "min_border_right": 16,
                },
                "Axis": {
                    "axis_label_text_color": colors.muted,
                    "axis_label_text_font": FONT,
                    "axis_label_text_font_size": "12px",
                    "axis_label_text_font_style": "normal",
                    "axis_line_color": colors.grid,
                    "major_label_text_color": colors.muted,
                    "major_label_text_font": FONT,
                    "major_label_text_font_size": "11px",
                    "major_tick_line_color": colors.grid,
                    "minor_tick_line_color": None,
                },
                "Grid": {"grid_line_color": colors.grid},
                "Title": {
                    "text_color": colors.text,
                    "text_font": FONT,
                    "text_font_size": "13px",
                    "text_font_style": "normal",
                },
                "BaseColorBar": {
                    "background_fill_color": colors.ground,
                    "major_label_text_color": colors.muted,
                    "major_label_text_font": FONT,
                    "title_text_color": colors.muted,
                    "title_text_font": FONT,
                    "title_text_font_style": "normal",
                },
                "Legend": {
                    "background_fill_color": colors.ground,
                    "background_fill_alpha": 0.8,
                    "border_line_color": None,
                    "label_text_color": colors.text,
                    "label_text_font": FONT,
                    "label_text_font_size": "11px",
                },
            }
        }
    )
