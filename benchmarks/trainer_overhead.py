"""What a trainer's integration costs beside the plain hook: all in one run, one thread each.

A 10-million-parameter GPT trains in Hugging Face's trainer, in Lightning's and in a loop under
Accelerate, in turn with ``bifurk.watch`` called by hand and with bifurk's integration; a snapshot
every 10 steps, without full values. Measured is the share of the training thread's processor time
that passes in bifurk's code, by Python's profiler, which makes it rather more than it is: whole
steps differ by some percent from one to the next, and half a percentage point would be lost in
that. The threads behind do the same work in both.
"""

from __future__ import annotations

import cProfile
import logging
import os
import pstats
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from claims import Claim, options, report
from models import gpt_10m
from torch import nn
from torch.nn import functional

import bifurk
from bifurk.testing import InMemoryTransport

BATCH, CONTEXT = 4, 64
STEPS = 21
FIRST_COUNTED = 1
"""The first step makes the optimizer's state."""
ROUNDS = 3
SETTINGS: dict[str, Any] = {"every": 10, "payload": "sketch", "overhead_budget": None}
HOWS = ("plain hook", "integration")
MOST_POINTS_MORE = 0.005
BIFURK = str(Path(bifurk.__file__).parent)


class Model(nn.Module):
    """The GPT with its loss, as trainers want it."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = gpt_10m()

    def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.gpt(input_ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), input_ids[:, 1:].flatten())
        return {"loss": loss}


class StepClock:
    """The training thread's time, all of it and in bifurk's code, of each step but the first."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile(time.thread_time)
        self._steps = 0
        self._begun = 0.0

    def step(self) -> None:
        """Called behind every step, from the training thread."""
        self._steps += 1
        if self._steps == FIRST_COUNTED:
            self._begun = time.thread_time()
            self._profile.enable()
        elif self._steps == STEPS:
            self._profile.disable()
            self.seconds = (time.thread_time() - self._begun) / (STEPS - FIRST_COUNTED)

    def share(self) -> float:
        """Of a step's time, what passes in bifurk's code, or in what that calls."""
        stats = pstats.Stats(self._profile).stats  # type: ignore[attr-defined]
        inside = sum(
            cumulative
            for (file, *_), (*_, callers) in stats.items()
            if file.startswith(BIFURK)
            for (caller, *_), (_, _, _, cumulative) in callers.items()
            if not caller.startswith(BIFURK)
        )
        return inside / (STEPS - FIRST_COUNTED) / self.seconds


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = options(__doc__ or "")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ["HF_HUB_OFFLINE"] = "1"
    rows = torch.randint(0, 256, (BATCH * STEPS, CONTEXT + 1))
    found: list[Claim] = []
    for name, train in TRAINERS.items():
        clocks: dict[str, list[StepClock]] = {how: [] for how in HOWS}
        for _ in range(asked.rounds or ROUNDS):
            for how in HOWS:
                clocks[how].append(StepClock())
                with redirect_stdout(sys.stderr):
                    train(Model(), rows, how, clocks[how][-1])
        found += claims(name, clocks)
    return report(found, as_json=asked.json)


def watched_by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, how: str) -> Any:
    """The plain hook, where that is what is measured."""
    if how == "plain hook":
        return bifurk.watch(model, optimizer, transport=InMemoryTransport(), **SETTINGS)
    return None


def in_transformers(model: Model, rows: torch.Tensor, how: str, clock: StepClock) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from bifurk.integrations.transformers import BifurkCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **given: Any) -> None:
            self.monitor = watched_by_hand(model, given["optimizer"], how)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    callbacks: list[Any] = [Clock()]
    if how == "integration":
        callbacks.append(BifurkCallback(transport=InMemoryTransport(), **SETTINGS))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            save_strategy="no",
            logging_steps=10,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        data = [{"input_ids": row} for row in rows]
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks).train()
    if callbacks[0].monitor is not None:
        callbacks[0].monitor.close()


def in_lightning(model: Model, rows: torch.Tensor, how: str, clock: StepClock) -> None:
    import lightning

    from bifurk.integrations.lightning import BifurkCallback

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            loss: torch.Tensor = self.model(batch)["loss"]
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            self.own = torch.optim.AdamW(self.parameters(), lr=3e-4)
            self.monitor = watched_by_hand(self, self.own, how)
            return self.own

        def on_train_batch_end(self, *_: Any) -> None:
            clock.step()

    callbacks = (
        [BifurkCallback(transport=InMemoryTransport(), **SETTINGS)] if how == "integration" else []
    )
    module = Module()
    lightning.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    ).fit(module, torch.utils.data.DataLoader(rows, batch_size=BATCH))
    if module.monitor is not None:
        module.monitor.close()


def in_accelerate(model: Model, rows: torch.Tensor, how: str, clock: StepClock) -> None:
    from accelerate import Accelerator

    from bifurk.integrations.accelerate import BifurkTracker

    trackers = (
        [BifurkTracker(transport=InMemoryTransport(), **SETTINGS)] if how == "integration" else []
    )
    accelerator = Accelerator(cpu=True, log_with=trackers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    loader = torch.utils.data.DataLoader(rows, batch_size=BATCH)
    prepared, stepped, loader = accelerator.prepare(model, optimizer, loader)
    accelerator.init_trackers("benchmark")
    monitor = watched_by_hand(model, optimizer, how)
    for batch in loader:
        loss = prepared(batch)["loss"]
        accelerator.backward(loss)
        stepped.step()
        stepped.zero_grad()
        accelerator.log({"loss": loss.item()})
        clock.step()
    accelerator.end_training()
    if monitor is not None:
        monitor.close()


TRAINERS: dict[str, Callable[[Model, torch.Tensor, str, StepClock], None]] = {
    "transformers": in_transformers,
    "Lightning": in_lightning,
    "Accelerate": in_accelerate,
}


def claims(name: str, clocks: dict[str, list[StepClock]]) -> list[Claim]:
    """Medians over rounds."""
    share = {how: statistics.median(one.share() for one in clocks[how]) for how in HOWS}
    step = statistics.median(one.seconds for one in clocks["plain hook"])
    return [
        Claim(claim=f"{name}: a step", value=1e3 * step, unit="ms"),
        *(Claim(claim=f"  in bifurk: {how}", value=share[how], unit="ratio") for how in HOWS),
        Claim(
            claim="  the integration above the plain hook",
            value=share["integration"] - share["plain hook"],
            unit="ratio",
            target=MOST_POINTS_MORE,
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
