"""The five runs of the demo as values; free of torch, so that the orchestration stays light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROJECT: Final = "demo"

FAULT_STEP: Final = 180
"""Snapshot 90 of 130, with one every 2 steps."""
FAULT_BLOCK: Final = 2
FAULT_FACTOR: Final = 3.0

EMBEDDING: Final = "embedding.weight"
OUTPUT: Final = "output.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModularAddition:
    """One training of the modular-addition network.

    Attributes:
        shuffled_labels: the training sums are permuted, so that nothing can generalise.
        weight_decay: AdamW's, at least 0. steps: optimizer steps, full batch, at least 1.
        seed: decides the initialisation, the split and the permutation. With all six seeds
            tried, 1 to 6, the output layer's stable rank fell before test accuracy passed one
            half, by 180 to 690 steps (3: by 480), and never with shuffled labels.
    """

    shuffled_labels: bool = False
    weight_decay: float = 1.0
    steps: int = 2_000
    seed: int = 3

    def __post_init__(self) -> None:
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyGpt:
    """One training of the small GPT.

    Attributes:
        fault_step: the step before whose forward pass the fault strikes, or None for a sound run.
        steps: optimizer steps, at least 1.
        seed: decides the initialisation and the batches. The loss moved no more than it does
            from batch to batch with each of the seeds tried, 1 to 3.
    """

    fault_step: int | None = None
    steps: int = 260
    seed: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.fault_step is not None and not 1 <= self.fault_step <= self.steps:
            raise ValueError(f"fault_step must be from 1 to {self.steps}, got {self.fault_step}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """A training under the name it is watched by.

    Attributes:
        name: the run's slug. title: for people. every: steps between two snapshots.
    """

    name: str
    title: str
    training: ModularAddition | TinyGpt
    every: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.training.steps


TRUE_LABELS: Final = DemoRun(
    name="modular-true-labels",
    title="modular addition, true labels",
    training=ModularAddition(),
    every=10,
)
SHUFFLED_LABELS: Final = DemoRun(
    name="modular-shuffled-labels",
    title="modular addition, shuffled labels",
    training=ModularAddition(shuffled_labels=True),
    every=10,
)
NO_DECAY: Final = DemoRun(
    name="modular-no-decay",
    title="modular addition, no weight decay",
    training=ModularAddition(weight_decay=0.0),
    every=10,
)
SOUND_GPT: Final = DemoRun(name="gpt-sound", title="small GPT, sound", training=TinyGpt(), every=2)
FAULTY_GPT: Final = DemoRun(
    name="gpt-fault",
    title="small GPT, unannounced fault",
    training=TinyGpt(fault_step=FAULT_STEP),
    every=2,
)

MODULAR_RUNS: Final = (TRUE_LABELS, SHUFFLED_LABELS, NO_DECAY)
RUNS: Final = (*MODULAR_RUNS, SOUND_GPT, FAULTY_GPT)
BY_NAME: Final = {run.name: run for run in RUNS}
