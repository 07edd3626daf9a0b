"""The trainings that alerts are judged on, as values: free of torch, so that judging needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROJECT: Final = "real-runs"

GPT_STEPS: Final = 400
GPT_EVERY: Final = 2
"""201 snapshots and two early ones: detectors that need 60 judge 140."""
EVENT_STEP: Final = 260
"""The step before whose forward pass something happens, about snapshot 130 of 200."""
CORRUPTED_STEPS: Final = 60
RESUME_STEP: Final = 200
FAULT_BLOCK: Final = 2
"""Of six."""
FAULT_FACTOR: Final = 3.0
RAISE: Final = 10.0
RUNAWAY_FACTOR: Final = 1.1
"""By which the learning rate grows at every step, up to the limit."""
RUNAWAY_LIMIT: Final = 1_000.0
DYING_FACTOR: Final = 0.9
"""What half of a block's hidden units keep of their weights at every step."""

MODULAR_STEPS: Final = 2_000
MODULAR_EVERY: Final = 10
ENCODER_STEPS: Final = 400
ENCODER_EVERY: Final = 2

SEEDS: Final = (10_001, 10_002, 10_003)
"""Thresholds were tuned below 1,000."""
HEALTHY_SEEDS: Final = (*SEEDS, 10_004, 10_005, 10_006)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Trainings that differ in their seed alone.

    Attributes:
        title: for people. model: ``gpt``, ``modular`` or ``encoder``.
        steps: optimizer steps. every: steps between two snapshots.
        event_step: the step before whose forward pass something happens, if anything does.
        control: the family that is the same but for that, seed for seed.
        healthy: nothing is wrong in it, so that every alert of warning or more is a false one.
    """

    name: str
    title: str
    model: str
    steps: int
    every: int
    event_step: int | None = None
    control: str | None = None
    healthy: bool = False
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of a family; the seed decides initialisation, batches and all other chance."""

    family: Family
    seed: int

    @property
    def name(self) -> str:
        """The run's slug."""
        return f"{self.family.name}-{self.seed}"


def _gpt(name: str, title: str, **others: int | str | bool | tuple[int, ...] | None) -> Family:
    fields = {"control": "healthy-constant", **others}
    return Family(name=name, title=title, model="gpt", steps=GPT_STEPS, every=GPT_EVERY, **fields)  # type: ignore[arg-type]


HEALTHY_CONSTANT: Final = _gpt(
    "healthy-constant", "healthy GPT, constant rate", control=None, healthy=True,
    seeds=HEALTHY_SEEDS,
)  # fmt: skip
HEALTHY_COSINE: Final = _gpt(
    "healthy-cosine", "healthy GPT, warm-up and cosine", control=None, healthy=True,
    seeds=HEALTHY_SEEDS,
)  # fmt: skip
FAULT: Final = _gpt("fault", "matrices of block 2 times 3, unannounced", event_step=EVENT_STEP)
BLOW_UP: Final = _gpt("blow-up", "learning rate times 10", event_step=EVENT_STEP)
RUNAWAY: Final = _gpt("runaway", "learning rate grows by a tenth a step", event_step=EVENT_STEP)
CORRUPTED: Final = _gpt("corrupted", "targets shuffled for 60 steps", event_step=EVENT_STEP)
DYING: Final = _gpt("dying", "half of block 2's hidden units decay", event_step=EVENT_STEP)
RESUMED: Final = _gpt("resumed", "resumed from a checkpoint", event_step=RESUME_STEP)
MODULAR_TRUE: Final = Family(
    name="modular-true",
    title="modular addition, true labels",
    model="modular",
    steps=MODULAR_STEPS,
    every=MODULAR_EVERY,
    control="modular-shuffled",
)
MODULAR_SHUFFLED: Final = Family(
    name="modular-shuffled",
    title="modular addition, shuffled labels",
    model="modular",
    steps=MODULAR_STEPS,
    every=MODULAR_EVERY,
)
FINE_TUNE: Final = Family(
    name="fine-tune",
    title="fine-tune of a pretrained speaker encoder",
    model="encoder",
    steps=ENCODER_STEPS,
    every=ENCODER_EVERY,
    control="from-scratch",
    healthy=True,
)
FROM_SCRATCH: Final = Family(
    name="from-scratch",
    title="the same encoder from a fresh initialisation",
    model="encoder",
    steps=ENCODER_STEPS,
    every=ENCODER_EVERY,
    healthy=True,
)
FAMILIES: Final = (
    HEALTHY_CONSTANT,
    HEALTHY_COSINE,
    FAULT,
    BLOW_UP,
    RUNAWAY,
    CORRUPTED,
    DYING,
    RESUMED,
    MODULAR_TRUE,
    MODULAR_SHUFFLED,
    FINE_TUNE,
    FROM_SCRATCH,
)


def all_trainings() -> list[Training]:
    """Every training, seed by seed: what is interrupted has something of each family."""
    seeds = sorted({seed for family in FAMILIES for seed in family.seeds})
    return [Training(family=f, seed=seed) for seed in seeds for f in FAMILIES if seed in f.seeds]
