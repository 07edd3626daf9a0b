"""The callback for Lightning's ``Trainer``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

from bifurk.integrations.companion import Companion
from bifurk.integrations.frameworks import framework
from bifurk.integrations.gradients import gradient_norm
from bifurk.integrations.lightning_facts import facts, schedule, title, written
from bifurk.integrations.memory import Memory, remembered

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from bifurk.config import WatchSettings
    from bifurk.transport import Transport
else:
    # One product under two names, whose classes do not know each other: the one in use.
    _OTHER = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
    _LIGHTNING = "pytorch_lightning" if _OTHER else "lightning.pytorch"
    Callback = framework(_LIGHTNING, at_least=(2, 2)).Callback

TOKENS: Final = "input_ids"
"""Under which name a batch of text holds its tokens."""


class BifurkCallback(Callback):
    """Watches what a Lightning ``Trainer`` fits.

    ::

        trainer = Trainer(callbacks=[BifurkCallback()], ...)
        trainer.fit(module, loader)

    Run name, seed, schedule, losses, gradient norms, what the module logs, evaluations,
    checkpoints and the end, also by an exception, come from the trainer; ``docs/integrations.md``
    lists what and when.

    Args:
        transport: instead of HTTP, see ``bifurk.testing``.
        settings: of ``bifurk.watch``; each also ``BIFURK_<NAME>`` in the environment. They win
            over what the trainer says.

    Raises:
        TypeError, ValueError: a setting does not exist or is out of range.
    """

    def __init__(
        self, *, transport: Transport | None = None, **settings: Unpack[WatchSettings]
    ) -> None:
        self._companion = Companion(settings, transport=transport)
        self._memory: Memory | None = None
        self._restored_step: int | None = None
        self._steps: list[int] = []
        self._tokens = 0
        self._seen: dict[str, Any] = {}
        self._saving = False
        self._written: dict[str, int | None] = {}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forgets what was restored for something else; what this fit restores comes later."""
        del trainer, pl_module, stage
        self._memory = self._restored_step = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts to watch, once optimizers are there and a checkpoint is loaded."""
        self._companion.call(self._begin, trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Finds what came behind the last batch: a checkpoint, or other parameter groups."""
        del pl_module, batch, batch_idx
        self._companion.call(self._find_saved, trainer)
        self._companion.call(self._companion.look_at_groups, trainer.optimizers)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measures the gradient, before it is clipped, as often as the trainer logs."""
        del pl_module
        self._companion.call(self._log_gradient, trainer, optimizer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Passes on the loss, and what the module logs as often as the trainer does."""
        del batch_idx
        self._companion.call(self._log_batch, trainer, pl_module, outputs, batch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Passes on what is known at an epoch's end."""
        del pl_module
        self._companion.call(self._log_fresh, trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Notes which metrics were there before."""
        del pl_module
        self._companion.call(self._find_saved, trainer)
        self._companion.call(self._fresh, trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Marks an evaluation, with its metrics."""
        del pl_module
        self._companion.call(self._evaluated, trainer)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Says that it comes after the training's end."""
        del pl_module
        self._companion.call(self._evaluated, trainer)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Notes how far the trainer was by its own counter."""
        del trainer, pl_module
        self._restored_step = checkpoint.get("global_step")

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Notes that one is being written; its path is known afterwards."""
        del trainer, pl_module, checkpoint
        self._saving = True

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Ends the watch as failed."""
        del pl_module
        if self._companion.under_way:
            self._companion.call(self._find_saved, trainer)
            self._companion.call(self._companion.end, exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Ends the watch."""
        del pl_module
        if stage == "fit":
            self._companion.call(self._find_saved, trainer)
            self._companion.call(self._companion.end)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers: project, run, step and tokens."""
        memory = self._companion.call(self._companion.memory, tokens=self._tokens)
        return {} if memory is None else dict(memory.as_json())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what ``state_dict`` gave."""
        self._companion.call(self._take_up, state_dict)

    def _take_up(self, state_dict: object) -> None:
        memory, step = remembered(state_dict), self._restored_step
        known = memory is not None and step is not None
        self._memory = replace(memory, trainer_step=step) if known and memory else memory

    def _begin(self, trainer: Any, module: Any) -> None:
        # Of several optimizers the trainer counts every one's steps.
        alone = len(trainer.optimizers) == 1
        memory, self._memory = self._of_this_fit(trainer, alone=alone), None
        self._steps = [0] * len(trainer.optimizers)
        self._tokens = 0 if memory is None else memory.tokens
        self._written, self._saving = written(trainer), False
        self._companion.begin(
            module,
            trainer.optimizers,
            title=title(trainer, module),
            memory=memory,
            start_step=(trainer.global_step or None) if alone else None,
        )
        if trainer.global_step:
            path = trainer.ckpt_path
            self._companion.mark("resume", {"path": path, "trainer_step": trainer.global_step})
        self._companion.mark("start", facts(trainer))
        for config in trainer.lr_scheduler_configs:
            self._companion.mark("schedule", schedule(trainer, config))
        self._seen = dict(trainer.callback_metrics)

    def _of_this_fit(self, trainer: Any, *, alone: bool) -> Memory | None:
        """What the checkpoint remembered, at the trainer's count; None where that contradicts."""
        memory = None if self._memory is None else self._memory.at(trainer.global_step)
        counted = alone or memory is None or memory == self._memory
        return memory if counted else None

    def _log_batch(self, trainer: Any, module: Any, outputs: Any, batch: Any) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None:
            # Lightning divides it by the batches that make one step.
            parts = trainer.accumulate_grad_batches if module.automatic_optimization else 1
            self._companion.log({"loss": loss * parts if parts > 1 else loss})
        tokens: Any = batch.get(TOKENS) if isinstance(batch, Mapping) else None
        if hasattr(tokens, "numel"):
            self._tokens += tokens.numel() * trainer.world_size
        if _logs_now(trainer):
            told = {"tokens": self._tokens} if self._tokens else {}
            self._companion.log({"epoch": trainer.current_epoch} | told)
            self._log_fresh(trainer)

    def _log_gradient(self, trainer: Any, optimizer: Any) -> None:
        if not (self._companion.watches and trainer.log_every_n_steps):
            return
        number = [one is optimizer for one in trainer.optimizers].index(True)
        # The trainer's counter may never be at a multiple when its turn comes.
        due = self._steps[number] % trainer.log_every_n_steps == 0
        self._steps[number] += 1
        norm = gradient_norm(optimizer) if due else None
        if norm is not None:
            self._companion.log({f"grad_norm.{number}" if number else "grad_norm": norm})

    def _log_fresh(self, trainer: Any) -> None:
        self._companion.log(self._fresh(trainer))

    def _evaluated(self, trainer: Any) -> None:
        if trainer.sanity_checking:
            return
        metrics = self._fresh(trainer)
        self._companion.log(metrics)
        self._companion.evaluated({"epoch": trainer.current_epoch} | metrics)

    def _fresh(self, trainer: Any) -> dict[str, Any]:
        """Metrics that were not there at the last call; those of earlier epochs stay the same."""
        now = dict(trainer.callback_metrics)
        fresh = {name: one for name, one in now.items() if self._seen.get(name) is not one}
        self._seen = now
        return fresh

    def _find_saved(self, trainer: Any) -> None:
        """Marks checkpoints that were written since the last call; no step lies between."""
        if not self._saving:
            return
        self._saving = False
        before, self._written = self._written, written(trainer)
        about = {"trainer_step": trainer.global_step}
        new: list[str | None] = [
            path for path, when in self._written.items() if before.get(path, -1) != when
        ]
        for path in new or [None]:
            self._companion.mark("checkpoint", {"path": path} | about)


def _logs_now(trainer: Any) -> bool:
    often = trainer.log_every_n_steps
    return bool(often and trainer.global_step % often == 0)
