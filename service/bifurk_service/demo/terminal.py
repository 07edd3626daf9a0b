"""The embedding's density over steps as coloured half blocks, for a terminal."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from bifurk_service.demo.courses import DensityCourse

UPPER_HALF: Final = "\N{UPPER HALF BLOCK}"
SHADES: Final = " .:-=+*#%@"
"""For a terminal without colours, from empty to dense."""

_ANCHORS: Final = np.array(
    [(0, 0, 4), (60, 15, 110), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191)],
    dtype=np.float64,
)
"""From dark to bright, evenly spaced in density; red, green, blue of 0 to 255."""


def density_text(course: DensityCourse, *, columns: int, rows: int, colours: bool = True) -> Text:
    """Draws steps from left to right and values from low to high, two values a character.

    Args:
        course: what to draw.
        columns: width in characters, at least 1.
        rows: height in characters, at least 1.
        colours: draw half blocks in colour, which rich maps to what the terminal has;
            otherwise characters of growing darkness.

    Returns:
        ``rows`` lines of ``columns`` characters; empty without any step.

    Raises:
        ValueError: columns or rows is below 1.
    """
    if columns < 1 or rows < 1:
        raise ValueError(f"columns and rows must be at least 1, got {columns} and {rows}")
    if not len(course.steps):
        return Text()
    brightness = _brightness(course, columns=columns, lines=2 * rows if colours else rows)
    lines = _coloured(brightness) if colours else _shaded(brightness)
    return Text("\n").join(lines)


def _brightness(course: DensityCourse, *, columns: int, lines: int) -> NDArray[np.float64]:
    """Density averaged into [lines, columns], highest values first, scaled to 0..1."""
    at = np.linspace(course.steps[0], course.steps[-1], columns)
    nearest = np.abs(course.steps[None, :] - at[:, None]).argmin(axis=1)
    groups = np.linspace(0, course.density.shape[1], lines + 1)
    mass = np.concatenate((np.zeros((len(course.steps), 1)), course.density.cumsum(axis=1)), axis=1)
    bins = np.arange(mass.shape[1])
    image = np.stack([np.diff(np.interp(groups, bins, mass[k])) for k in nearest], axis=1)[::-1]
    brightest = image.max()
    scaled: NDArray[np.float64] = image / brightest if brightest > 0 else image
    return scaled


def _coloured(brightness: NDArray[np.float64]) -> list[Text]:
    lines = []
    for upper, lower in zip(brightness[::2], brightness[1::2], strict=True):
        line = Text()
        for top, bottom in zip(upper, lower, strict=True):
            line.append(UPPER_HALF, Style(color=_colour(top), bgcolor=_colour(bottom)))
        lines.append(line)
    return lines


def _shaded(brightness: NDArray[np.float64]) -> list[Text]:
    index = np.minimum((brightness * len(SHADES)).astype(int), len(SHADES) - 1)
    return [Text("".join(SHADES[i] for i in row)) for row in index]


def _colour(brightness: float) -> Color:
    at = np.linspace(0.0, 1.0, len(_ANCHORS))
    red, green, blue = (float(np.interp(brightness, at, channel)) for channel in _ANCHORS.T)
    return Color.from_rgb(red, green, blue)
