"""The trainings of the real runs: a small GPT through the hook, and its control.

The control differs in one thing: each target is the byte at a place of the corpus drawn anew and
uniformly, so that inputs say nothing about targets and only the bytes' frequencies can be learned.
Initialisation, inputs, optimizer and schedule are those of the run with the same seed.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

import bifurk
from bifurk_service.demo.tiny_gpt import CONTEXT, Gpt, standard_library

PROJECT: Final = "real-runs"
SEEDS: Final = (1, 2, 3)
STEPS: Final = 1_000
EVERY: Final = 20
BATCH: Final = 8
LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.1
BETAS: Final = (0.9, 0.95)
WARM_UP_STEPS: Final = 100
FINAL_SHARE: Final = 0.1
"""Of the learning rate, at the end of the cosine."""
AT_ONCE: Final = 2
LOSS_WINDOW: Final = 50
"""Steps whose mean loss is told; single batches differ by a few tenths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRun:
    """One training: true targets, or shuffled ones.

    Attributes:
        seed: decides initialisation, batches and the shuffle.
        steps: optimizer steps, at least ``LOSS_WINDOW``.
    """

    seed: int
    control: bool
    steps: int = STEPS

    @property
    def name(self) -> str:
        """The run's slug."""
        return f"{'control' if self.control else 'run'}-{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Mean cross-entropy of the first and the last ``LOSS_WINDOW`` steps, nats a byte."""

    first: float
    last: float


def train_all(runs: list[RealRun], *, url: str, folder: Path) -> dict[str, Losses]:
    """Trains every run through the hook, two at a time, a process and a thread each.

    Args:
        url: of the server. folder: exists; gets the hook's spool.
    """
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as processes:
        started = {
            run.name: processes.submit(train, run, url=url, spool=folder / run.name) for run in runs
        }
        return {name: training.result() for name, training in started.items()}


def train(run: RealRun, *, url: str, spool: Path) -> Losses:
    """Trains one run under a monitor that posts to the server at ``url``."""
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    model = Gpt()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=BETAS
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, run.steps))
    batches = _Batches(standard_library(), run)
    losses = []
    with bifurk.watch(
        model,
        optimizer,
        project=PROJECT,
        run=run.name,
        every=EVERY,
        url=url,
        payload="full",
        spool_dir=spool,
        overhead_budget=None,  # the cadence is part of the experiment
    ) as monitor:
        for _ in range(run.steps):
            inputs, targets = batches.draw()
            loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
            monitor.log(loss=losses[-1])
            optimizer.step()
            schedule.step()
    return Losses(first=_mean(losses[:LOSS_WINDOW]), last=_mean(losses[-LOSS_WINDOW:]))


def unigram_entropy() -> float:
    """Entropy of the corpus's bytes, nats: no control can come below it but by chance."""
    shares = torch.bincount(standard_library().int(), minlength=256).double()
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * shares.log()).sum())


class _Batches:
    """Inputs from one generator, a control's targets from another: the inputs stay the run's."""

    def __init__(self, corpus: Tensor, run: RealRun) -> None:
        self._corpus, self._control = corpus, run.control
        self._places = torch.Generator().manual_seed(run.seed)
        self._shuffle = torch.Generator().manual_seed(1_000 + run.seed)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Bytes int64 [BATCH, CONTEXT], and what is to follow each, of the same shape."""
        corpus = self._corpus
        starts = torch.randint(len(corpus) - CONTEXT, (BATCH, 1), generator=self._places)
        text = corpus[starts + torch.arange(CONTEXT + 1)].long()
        if not self._control:
            return text[:, :-1], text[:, 1:]
        elsewhere = torch.randint(len(corpus), (BATCH, CONTEXT), generator=self._shuffle)
        return text[:, :-1], corpus[elsewhere].long()


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up, then half a cosine."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * done)) / 2


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
