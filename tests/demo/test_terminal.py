"""The density in a terminal: the right size, bright where it is dense."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from bifurk_service.demo.courses import DensityCourse
from bifurk_service.demo.terminal import SHADES, UPPER_HALF, density_text


def ridge(*, at_bin: int, steps: int = 30) -> DensityCourse:
    density = np.zeros((steps, 40))
    density[:, at_bin] = 1.0
    return DensityCourse(steps=np.arange(steps) * 10, edges=np.linspace(-3, 3, 41), density=density)


def test_it_fills_its_rows_and_columns() -> None:
    lines = density_text(ridge(at_bin=20), columns=50, rows=7).plain.split("\n")
    assert lines == [UPPER_HALF * 50] * 7


def test_high_values_are_drawn_above_low_ones_without_colours() -> None:
    high = density_text(ridge(at_bin=39), columns=10, rows=8, colours=False).plain.split("\n")
    low = density_text(ridge(at_bin=0), columns=10, rows=8, colours=False).plain.split("\n")
    assert high == [SHADES[-1] * 10] + [" " * 10] * 7
    assert low == high[::-1]


def test_256_colours_are_enough_for_it() -> None:
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="256", width=60, legacy_windows=False
    )
    console.print(density_text(ridge(at_bin=39), columns=10, rows=4))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[38;5;" in console.file.getvalue()


def test_a_density_of_zeros_is_blank() -> None:
    course = ridge(at_bin=1)
    empty = DensityCourse(steps=course.steps, edges=course.edges, density=0 * course.density)
    assert density_text(empty, columns=4, rows=2, colours=False).plain == "    \n    "


def test_no_steps_give_no_text() -> None:
    assert density_text(ridge(at_bin=1, steps=0), columns=4, rows=2).plain == ""


@pytest.mark.parametrize(("columns", "rows"), [(0, 3), (3, 0)])
def test_a_size_below_one_is_refused(columns: int, rows: int) -> None:
    with pytest.raises(ValueError, match=f"got {columns} and {rows}"):
        density_text(ridge(at_bin=1), columns=columns, rows=rows)
