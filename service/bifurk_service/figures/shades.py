"""Colours for things that have an order: layers by depth, tensors by onset."""

from __future__ import annotations

from typing import Final

from bifurk_service.figures.theme import ThemeName, sequential

NEAR_GROUND: Final = 0.2
"""Of a sequential palette, the share nearest the ground: too faint for a line."""


def shades(theme: ThemeName, count: int) -> tuple[str, ...]:
    """So many colours from first to last, all to be told from the ground."""
    palette = sequential(theme)
    lowest, highest = int(NEAR_GROUND * len(palette)), len(palette) - 1
    between = max(count - 1, 1)
    return tuple(palette[lowest + round(n * (highest - lowest) / between)] for n in range(count))
