"""The demo's GPT, 64 wide, trained in health and through what is done to it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from bifurk_service.demo.tiny_gpt import CONTEXT, Gpt, standard_library

from .families import (
    BLOW_UP,
    CORRUPTED,
    CORRUPTED_STEPS,
    DYING,
    DYING_FACTOR,
    EVENT_STEP,
    FAULT,
    FAULT_BLOCK,
    FAULT_FACTOR,
    HEALTHY_COSINE,
    RAISE,
    RESUME_STEP,
    RESUMED,
    RUNAWAY,
    RUNAWAY_FACTOR,
    RUNAWAY_LIMIT,
    Training,
)

WIDTH: Final = 64
"""0.34 million parameters: a run takes a minute on one core."""
BATCH: Final = 8
LEARNING_RATE: Final = 1e-3
WARM_UP_STEPS: Final = 60
FINAL_SHARE: Final = 0.1
"""Of the learning rate, at the end of the cosine."""


class Log(Protocol):
    """What a training tells its monitor."""

    def log(self, **scalars: float) -> None: ...

    def mark(self, kind: str, /, **details: object) -> None: ...


Watch = Callable[[nn.Module, torch.optim.Optimizer], AbstractContextManager[Log]]


def train_gpt(training: Training, *, watch: Watch) -> list[float]:
    """Trains under a monitor, or two, one after the other; the loss before each step, nats a byte.

    The monitor hears of the loss and of a checkpoint, never of anything that is done to the run.
    """
    trainer = _Trainer(training)
    if training.family != RESUMED:
        with watch(trainer.model, trainer.optimizer) as monitor:
            trainer.advance(monitor, until=training.family.steps)
        return trainer.losses
    with watch(trainer.model, trainer.optimizer) as monitor:
        trainer.advance(monitor, until=RESUME_STEP)
        monitor.mark("checkpoint", path="checkpoint.pt")
        checkpoint = trainer.saved()
    trainer.load(checkpoint)
    with watch(trainer.model, trainer.optimizer) as monitor:
        trainer.advance(monitor, until=training.family.steps)
    return trainer.losses


class _Trainer:
    def __init__(self, training: Training) -> None:
        self._family, self._seed = training.family, training.seed
        self.losses: list[float] = []
        self._corpus = standard_library()
        self._batches = torch.Generator().manual_seed(training.seed)
        self._shuffle = torch.Generator().manual_seed(training.seed)
        self._start()

    def _start(self) -> None:
        torch.manual_seed(self._seed)
        self.model = Gpt(WIDTH)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)

    def saved(self) -> bytes:
        buffer = io.BytesIO()
        torch.save([self.model.state_dict(), self.optimizer.state_dict()], buffer)
        return buffer.getvalue()

    def load(self, checkpoint: bytes) -> None:
        """A new model and optimizer that take up where the checkpoint was written."""
        self._start()
        model, optimizer = torch.load(io.BytesIO(checkpoint), weights_only=True)
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)

    def advance(self, monitor: Log, *, until: int) -> None:
        for step in range(len(self.losses) + 1, until + 1):
            self._before(step)
            inputs, targets = self._batch(step)
            loss = functional.cross_entropy(self.model(inputs).flatten(0, 1), targets.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.losses.append(loss.item())
            monitor.log(loss=self.losses[-1])
            self.optimizer.step()

    def _before(self, step: int) -> None:
        family = self._family
        rate = LEARNING_RATE
        if family == HEALTHY_COSINE:
            rate *= cosine_share(step - 1, family.steps)
        elif family == BLOW_UP and step >= EVENT_STEP:
            rate *= RAISE
        elif family == RUNAWAY and step >= EVENT_STEP:
            rate *= min(RUNAWAY_FACTOR ** (step - EVENT_STEP + 1), RUNAWAY_LIMIT)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        block = self.model.blocks[FAULT_BLOCK]
        if family == FAULT and step == EVENT_STEP:
            _multiply_matrices(block, FAULT_FACTOR)
        elif family == DYING and step >= EVENT_STEP:
            _weaken_half(block, DYING_FACTOR)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Bytes int64 [BATCH, CONTEXT], and what is to follow each, of the same shape."""
        corpus = self._corpus
        starts = torch.randint(len(corpus) - CONTEXT, (BATCH, 1), generator=self._batches)
        text = corpus[starts + torch.arange(CONTEXT + 1)].long()
        inputs, targets = text[:, :-1], text[:, 1:]
        if self._family == CORRUPTED and EVENT_STEP <= step < EVENT_STEP + CORRUPTED_STEPS:
            order = torch.randperm(targets.numel(), generator=self._shuffle)
            targets = targets.flatten()[order].view_as(targets)
        return inputs, targets


def cosine_share(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up, then half a cosine down to a tenth."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def _multiply_matrices(module: nn.Module, factor: float) -> None:
    for parameter in module.parameters():
        if parameter.ndim == 2:
            parameter.mul_(factor)


@torch.no_grad()
def _weaken_half(block: Any, factor: float) -> None:
    """Takes weight from the first half of the hidden units: what goes in, and what comes out."""
    half = block.mlp.up.out_features // 2
    block.mlp.up.weight[:half].mul_(factor)
    block.mlp.up.bias[:half].mul_(factor)
    block.mlp.down.weight[:, :half].mul_(factor)
