"""The pictures are drawn from arrays, on good days and on bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bifurk_service.demo.courses import DensityCourse, SpreadMap
from bifurk_service.demo.picture import FaultPanels, ForkPanel, draw_fault, draw_forks


def course(steps: int) -> DensityCourse:
    edges = np.linspace(-3, 3, 61)
    centres = (edges[:-1] + edges[1:]) / 2
    apart = np.linspace(0, 1, steps)[:, None]
    density = np.exp(-8 * (np.abs(centres[None, :]) - apart) ** 2)
    return DensityCourse(steps=np.arange(steps) * 10, edges=edges, density=density)


def panel(steps: int = 20, *, split_step: int | None = 50) -> ForkPanel:
    return ForkPanel(
        title="a run",
        course=course(steps),
        accuracy_steps=np.array([10, 100]),
        accuracy=np.array([0.0, 1.0]),
        split_step=split_step,
    )


def fault(spread: SpreadMap, *, seen_step: int | None = 184) -> FaultPanels:
    losses = np.linspace(5, 2.5, 260)
    return FaultPanels(
        losses=losses, sound_losses=losses, spread=spread, fault_step=180, seen_step=seen_step
    )


def spread(tripled: float) -> SpreadMap:
    ratio = np.zeros((4, 130))
    ratio[2, 90:] = tripled
    return SpreadMap(tensors=("a", "b", "c", "d"), steps=np.arange(130) * 2, log2_ratio=ratio)


def test_a_fork_is_drawn_bright_on_dark_with_a_panel_a_run(tmp_path: Path) -> None:
    one, three = tmp_path / "one.png", tmp_path / "three.png"
    draw_forks([panel()], one)
    draw_forks([panel(), panel(split_step=None), panel()], three)
    narrow, wide = imread(one), imread(three)
    assert wide.shape[1] > 2 * narrow.shape[1]
    assert (narrow[..., :3].max(axis=2) < 0.1).mean() > 0.05


def test_a_tripled_spread_is_drawn_dark_red(tmp_path: Path) -> None:
    def dark_red(tripled: float) -> float:
        path = tmp_path / "fault.png"
        draw_fault(fault(spread(tripled)), path)
        red, green, blue = (imread(path)[..., channel] for channel in range(3))
        return float(((red > 0.3) & (red < 0.7) & (green < 0.15) & (blue < 0.2)).sum())

    assert dark_red(np.log2(3)) > dark_red(0.0) + 1_000


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_with_hardly_a_snapshot_is_drawn_all_the_same(tmp_path: Path, steps: int) -> None:
    draw_forks([panel(steps)], tmp_path / "fork.png")
    nothing = SpreadMap(
        tensors=("a",), steps=np.arange(steps), log2_ratio=np.full((1, steps), np.nan)
    )
    draw_fault(fault(nothing, seen_step=None), tmp_path / "fault.png")
    assert (tmp_path / "fork.png").stat().st_size > 0
    assert (tmp_path / "fault.png").stat().st_size > 0


def test_a_density_of_zeros_is_drawn_dark(tmp_path: Path) -> None:
    empty = course(5)
    flat = DensityCourse(steps=empty.steps, edges=empty.edges, density=np.zeros_like(empty.density))
    blank = ForkPanel(
        title="nothing",
        course=flat,
        accuracy_steps=np.array([], dtype=np.int64),
        accuracy=np.array([]),
        split_step=None,
    )
    draw_forks([blank], tmp_path / "fork.png")
    assert (tmp_path / "fork.png").stat().st_size > 0


def test_a_picture_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one panel"):
        draw_forks([], tmp_path / "fork.png")
