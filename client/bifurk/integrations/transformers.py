"""The callback for Hugging Face's ``Trainer`` and those built on it."""

from __future__ import annotations

import functools
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Unpack

from bifurk.integrations.companion import Companion, Title
from bifurk.integrations.frameworks import framework
from bifurk.integrations.memory import Memory, remembered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import TrainerCallback

    from bifurk.config import WatchSettings
    from bifurk.transport import Transport
else:
    TrainerCallback = framework("transformers.trainer_callback", at_least=(4, 46)).TrainerCallback

MEMORY_KEY: Final = "bifurk"
"""In the trainer's state. No class's name: the trainer would make a callback of it."""
DEFAULT_PROJECT: Final = "huggingface"
"""What ``TrainingArguments.project`` says when nobody said anything."""
ALREADY_TOLD: Final = frozenset({"epoch", "learning_rate", "num_input_tokens_seen"})
"""Logged under another name, or with every snapshot by itself."""
TIMING: Final = (
    "runtime",
    *(f"{unit}_per_second" for unit in ("samples", "steps", "tokens")),
    "model_preparation_time",
    "jit_compilation_time",
)
"""What the trainer tells of the machine's speed, each behind ``train_``, ``eval_`` or the like."""

_TELLS: Final = "_bifurk_tells_of_exceptions"


class BifurkCallback(TrainerCallback):
    """Watches what a ``Trainer`` trains.

    ::

        trainer = Trainer(model, args, callbacks=[BifurkCallback()], ...)
        trainer.train()

    Run name, project, seed, schedule, losses, gradient norms, evaluations, checkpoints and the end,
    also by an exception, come from the trainer; ``docs/integrations.md`` lists what and when.

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
        self._resumes_from: str | None = None
        _tell_of_exceptions()

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **_: Any
    ) -> None:
        """Starts to watch."""
        del control
        self._companion.call(self._begin, args, state, model, optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, *, optimizer: Any, **_: Any) -> None:
        """Leaves in the trainer's state what a checkpoint of this step should remember."""
        del args, control
        self._companion.call(self._remember, state)
        self._companion.call(self._companion.look_at_groups, optimizer)

    def on_log(self, args: Any, state: Any, control: Any, *, logs: Any, **_: Any) -> None:
        """Passes on losses, gradient norms, and whatever else is logged."""
        del args, control
        self._companion.call(self._log, state, logs)

    def on_evaluate(self, args: Any, state: Any, control: Any, *, metrics: Any, **_: Any) -> None:
        """Marks an evaluation, with its metrics."""
        del args, state, control
        self._companion.call(lambda: self._companion.evaluated(_without_timing(metrics)))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Marks a checkpoint, with its path."""
        del control
        self._companion.call(self._saved, args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ends the watch."""
        del args, state, control
        self._companion.call(self._companion.end)

    def on_train_call(self, resume_from_checkpoint: object) -> None:
        """Notes where the training goes on from; no event of the trainer's either."""
        told = isinstance(resume_from_checkpoint, str | os.PathLike)
        self._resumes_from = str(resume_from_checkpoint) if told else None

    def on_exception(self, error: BaseException) -> None:
        """Ends the watch as failed; no event of the trainer's, see ``_tell_of_exceptions``."""
        if self._companion.under_way:
            self._companion.call(self._companion.end, error)

    def _begin(self, args: Any, state: Any, model: Any, optimizer: Any) -> None:
        memory = _memory(state)
        self._companion.begin(
            model,
            optimizer,
            title=_title(args, state),
            memory=memory,
            start_step=state.global_step or None,
        )
        if state.global_step:
            self._companion.mark("resume", self._origin(args, state, memory))
        self._companion.mark("start", _facts(args, state))
        self._companion.mark("schedule", _schedule(args, state))

    def _origin(self, args: Any, state: Any, memory: Memory | None) -> dict[str, Any]:
        """The checkpoint, and whose it is where that is another run's."""
        latest = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        path = self._resumes_from or (latest if os.path.isdir(latest) else None)
        other = memory is not None and memory.run != self._companion.run
        whose = memory.run if memory is not None and other else None
        return {"path": path, "trainer_step": state.global_step, "run": whose}

    def _remember(self, state: Any) -> None:
        memory = self._companion.memory(trainer_step=state.global_step)
        if memory is not None:
            # As the trainer keeps its own callbacks' states.
            state.stateful_callbacks[MEMORY_KEY] = {"args": {}, "attributes": memory.as_json()}

    def _log(self, state: Any, logs: Mapping[str, Any]) -> None:
        told = {
            name: value for name, value in _without_timing(logs).items() if name not in ALREADY_TOLD
        }
        tokens = state.num_input_tokens_seen
        self._companion.log(told | {"epoch": state.epoch} | ({"tokens": tokens} if tokens else {}))

    def _saved(self, args: Any, state: Any) -> None:
        folder = f"checkpoint-{state.global_step}"
        # In a search every trial has a folder of its own, which callbacks are not told.
        searching = state.is_hyper_param_search
        path = folder if searching else os.path.join(args.output_dir, folder)
        self._companion.mark("checkpoint", {"path": path, "trainer_step": state.global_step})


def _without_timing(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Without the trainer's own timing, a runtime with a speed; what others named alike stays."""
    runtimes = (name.removesuffix("runtime") for name in logs if name.endswith("_runtime"))
    own = {"total_flos"}
    for prefix in runtimes:
        names = {prefix + end for end in TIMING}
        if any(name.endswith("_per_second") for name in names & logs.keys()):
            own |= names
    return {name: value for name, value in logs.items() if name not in own}


def _title(args: Any, state: Any) -> Title:
    project = getattr(args, "project", None)
    # Versions before 5 repeat the folder where there is no name.
    run = args.run_name if args.run_name != args.output_dir else None
    stem = PurePath(args.output_dir or "").name or "run"
    searching = bool(state.is_hyper_param_search)
    if searching:
        stem = "-".join(str(part) for part in (run or stem, state.trial_name) if part)
    return Title(
        run=None if searching else run,
        project=project if project != DEFAULT_PROJECT else None,
        chosen=True,
        stem=stem,
        own=searching,
    )


def _facts(args: Any, state: Any) -> dict[str, Any]:
    precision = [name for name in ("bf16", "fp16") if getattr(args, name, False)]
    return {
        "trainer": "transformers",
        "seed": args.seed,
        "data_seed": args.data_seed,
        "batch_size": args.per_device_train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "processes": args.world_size,
        "precision": precision[0] if precision else "float32",
        "max_grad_norm": args.max_grad_norm,
        "epochs": state.num_train_epochs,
    }


def _schedule(args: Any, state: Any) -> dict[str, Any]:
    kind = args.lr_scheduler_type
    return {
        "scheduler": str(getattr(kind, "value", kind)),
        "warmup_steps": args.get_warmup_steps(state.max_steps),
        "max_steps": state.max_steps,
    }


def _memory(state: Any) -> Memory | None:
    """Only of a checkpoint: a training from the start goes on with nothing."""
    if not state.global_step:
        return None
    kept = (state.stateful_callbacks or {}).get(MEMORY_KEY)
    memory = remembered(kept.get("attributes")) if isinstance(kept, dict) else None
    # A training without bifurk writes on what it has read, as it was.
    return None if memory is None else memory.at(state.global_step)


def _tell_of_exceptions() -> None:
    """Wraps ``Trainer.train``, once: the trainer tells its callbacks nothing of an exception."""
    trainer: Any = framework("transformers.trainer", at_least=(4, 46)).Trainer
    train = trainer.train
    if hasattr(train, _TELLS):
        return

    @functools.wraps(train)
    def telling(self: Any, *args: Any, **kwargs: Any) -> Any:
        for callback in _callbacks_of(self):
            callback.on_train_call(args[0] if args else kwargs.get("resume_from_checkpoint"))
        try:
            return train(self, *args, **kwargs)
        except BaseException as error:
            for callback in _callbacks_of(self):
                callback.on_exception(error)
            raise

    setattr(telling, _TELLS, True)
    trainer.train = telling


def _callbacks_of(trainer: Any) -> Iterator[BifurkCallback]:
    handler = getattr(trainer, "callback_handler", None)
    for callback in tuple(getattr(handler, "callbacks", ())):
        if isinstance(callback, BifurkCallback):
            yield callback
