"""The demo's two pictures, from arrays: the fork, and the fault that the loss does not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bifurk_service.demo.courses import DensityCourse, SpreadMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH: Final = 120
COLOURS_UP_TO_LOG2: Final = 1.6
"""The ends of the colour scale: a little more than a factor of 3 either way."""
BRIGHTEST_QUANTILE: Final = 0.995
"""The density shown brightest; the few peaks above it would darken all the rest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForkPanel:
    """One run of the fork picture.

    Attributes:
        course: the embedding's density over steps.
        accuracy_steps: int64 [A]. accuracy: float64 [A], test accuracy, 0 to 1.
        split_step: where the density was reported to split, or None.
    """

    title: str
    course: DensityCourse
    accuracy_steps: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    split_step: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultPanels:
    """The fault picture.

    Attributes:
        losses: float64 [S], of steps 1 to S of the run with the fault. sound_losses: of the
            sound run. spread: of the run with the fault.
        fault_step: when it struck. seen_step: when it was alerted, or None.
    """

    losses: NDArray[np.float64]
    sound_losses: NDArray[np.float64]
    spread: SpreadMap
    fault_step: int
    seen_step: int | None


def draw_forks(panels: Sequence[ForkPanel], path: Path) -> None:
    """Draws the panels beside each other, density as brightness, accuracy on top, as a PNG.

    Raises:
        ValueError: no panel was given.
        OSError: the file cannot be written.
    """
    if not panels:
        raise ValueError("the fork picture needs at least one panel, got none")
    figure = _figure(width_inches=4.4 * len(panels), height_inches=3.6)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for panel, axis in zip(panels, axes, strict=True):
        _draw_fork(panel, axis)
    axes[0].set_ylabel("weight / its standard deviation")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def draw_fault(panels: FaultPanels, path: Path) -> None:
    """Draws the loss above each matrix's spread, on one axis of steps, as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    figure = _figure(width_inches=9.0, height_inches=6.4)
    loss_axis, map_axis = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    _draw_losses(panels, loss_axis)
    if len(panels.spread.steps):
        _draw_spread(panels.spread, map_axis, figure)
    for axis in (loss_axis, map_axis):
        axis.axvline(panels.fault_step, color="black", linestyle=":", linewidth=1.2)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _figure(*, width_inches: float, height_inches: float) -> Figure:
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_fork(panel: ForkPanel, axis: Axes) -> None:
    course = panel.course
    if len(course.steps):
        density = course.density
        axis.pcolormesh(
            _step_edges(course.steps),
            course.edges,
            density.T,
            cmap="magma",
            vmin=0.0,
            vmax=max(float(np.quantile(density, BRIGHTEST_QUANTILE)), np.finfo(np.float64).tiny),
            rasterized=True,
        )
    if panel.split_step is not None:
        axis.axvline(panel.split_step, color="white", linestyle=":", linewidth=1.2)
        axis.annotate(
            f" two modes\n at {panel.split_step:,}",
            (panel.split_step, course.edges[0] * 0.9),
            color="white",
            fontsize=8,
        )
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel("step")
    right = axis.twinx()
    right.plot(panel.accuracy_steps, panel.accuracy, color="turquoise", linewidth=1.3)
    right.set_ylim(-0.02, 1.05)
    right.set_ylabel("test accuracy", color="teal", fontsize=8)


def _draw_losses(panels: FaultPanels, axis: Axes) -> None:
    for losses, label, colour, width in (
        (panels.sound_losses, "sound run", "0.75", 3.0),
        (panels.losses, "run with the fault", "tab:blue", 1.0),
    ):
        axis.plot(np.arange(1, len(losses) + 1), losses, label=label, color=colour, linewidth=width)
    seen = "not alerted" if panels.seen_step is None else f"alerted at {panels.seen_step}"
    axis.set_title(f"fault at step {panels.fault_step}, {seen}", fontsize=10)
    axis.set_ylabel("loss, nats a byte")
    axis.legend(fontsize=8, frameon=False)


def _draw_spread(spread: SpreadMap, axis: Axes, figure: Figure) -> None:
    mesh = axis.pcolormesh(
        _step_edges(spread.steps),
        np.arange(len(spread.tensors) + 1) - 0.5,
        np.ma.masked_invalid(spread.log2_ratio),
        cmap="RdBu_r",
        vmin=-COLOURS_UP_TO_LOG2,
        vmax=COLOURS_UP_TO_LOG2,
        rasterized=True,
    )
    axis.set_yticks(range(len(spread.tensors)), labels=spread.tensors, fontsize=5)
    axis.invert_yaxis()
    axis.set_xlabel("step")
    figure.colorbar(mesh, ax=axis, label="log2(std / its median)")


def _step_edges(steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cell borders half-way between neighbouring steps, float64 [K + 1]."""
    if len(steps) < 2:
        return np.array([float(steps[0]) - 0.5, float(steps[0]) + 0.5])
    middle = (steps[:-1] + steps[1:]) / 2
    return np.concatenate(
        ([1.5 * steps[0] - 0.5 * steps[1]], middle, [1.5 * steps[-1] - 0.5 * steps[-2]])
    )
