"""Fetches what the pictures show, draws them as PNG files and the fork in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.text import Text

from bifurk_service.demo.api import Api
from bifurk_service.demo.collect import embedding_course, matrix_spread
from bifurk_service.demo.facts import DemoFacts, RunFacts
from bifurk_service.demo.picture import FaultPanels, ForkPanel, draw_fault, draw_forks
from bifurk_service.demo.runs import EMBEDDING, FAULT_STEP
from bifurk_service.demo.terminal import density_text

TERMINAL_ROWS: Final = 12
TERMINAL_COLUMNS_AT_MOST: Final = 100


def draw(api: Api, facts: DemoFacts, *, folder: Path, console: Console) -> tuple[Path, Path]:
    """Draws ``fork.png`` and ``silent-fault.png`` into the folder; returns their paths."""
    runs = (facts.true_labels, facts.shuffled_labels, facts.no_decay)
    panels = [_fork_panel(api, run) for run in runs]
    fork, fault = folder / "fork.png", folder / "silent-fault.png"
    draw_forks(panels, fork)
    draw_fault(_fault_panels(api, facts), fault)
    for panel in (panels[0], panels[-1]):
        _show(panel, console)
    return fork, fault


def _fork_panel(api: Api, run: RunFacts) -> ForkPanel:
    split = run.split(EMBEDDING)
    steps, accuracy = zip(*run.record.accuracy, strict=True) if run.record.accuracy else ((), ())
    return ForkPanel(
        title=run.run.title,
        course=embedding_course(api, run.run_id),
        accuracy_steps=np.array(steps, dtype=np.int64),
        accuracy=np.array(accuracy, dtype=np.float64),
        split_step=None if split is None else int(split["detected_step"]),
    )


def _fault_panels(api: Api, facts: DemoFacts) -> FaultPanels:
    faulty = facts.faulty_gpt
    seen = [int(alert["detected_step"]) for alert in faulty.grave_alerts]
    return FaultPanels(
        losses=np.array(faulty.record.losses),
        sound_losses=np.array(facts.sound_gpt.record.losses),
        spread=matrix_spread(api, faulty.run_id),
        fault_step=FAULT_STEP,
        seen_step=seen[0] if seen else None,
    )


def _show(panel: ForkPanel, console: Console) -> None:
    columns = max(1, min(console.width, TERMINAL_COLUMNS_AT_MOST))
    steps = panel.course.steps
    console.print(Text(f"\nthe embedding's density over steps: {panel.title}", style="bold"))
    console.print(
        density_text(
            panel.course,
            columns=columns,
            rows=TERMINAL_ROWS,
            colours=console.color_system is not None,
        )
    )
    if len(steps):
        last = f"step {steps[-1]:,}"
        console.print(Text(f"step {steps[0]:<{max(1, columns - 5 - len(last))},}{last}"))
