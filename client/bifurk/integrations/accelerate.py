"""The tracker for Accelerate, in training loops of one's own."""

from __future__ import annotations

import contextlib
import json
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import torch
from torch.optim import Optimizer

from bifurk.integrations.companion import Companion, Title
from bifurk.integrations.first_step import BeforeSteps
from bifurk.integrations.frameworks import framework
from bifurk.integrations.gradients import GradientLog
from bifurk.integrations.memory import Memory, remembered
from bifurk.monitor import Monitor
from bifurk.optimizers import as_optimizers

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from bifurk.config import WatchSettings
    from bifurk.transport import Transport
else:
    GeneralTracker = framework("accelerate.tracking", at_least=(1, 8)).GeneralTracker

MEMORY_FILE: Final = "bifurk.json"
"""In the folder of every ``save_state``."""
MEMORY_BYTES: Final = 4_096
"""A longer file is none of ours."""
EVALUATION: Final = ("eval", "val")
"""Beginnings of the names of what an evaluation found."""
GRADIENT_NORM: Final = "grad_norm"
MAX_FRAMES: Final = 16
"""Between ``Accelerator.init_trackers`` and ``start``; three as of Accelerate 1.15."""


class BifurkTracker(GeneralTracker):
    """Watches what an ``Accelerator`` prepared.

    ::

        accelerator = Accelerator(log_with=BifurkTracker(run="digits"))
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        accelerator.init_trackers("digits", config=vars(args))
        ...
        accelerator.log({"loss": loss})
        ...
        accelerator.end_training()

    What is logged, saved and loaded comes from the accelerator; ``docs/integrations.md`` lists what
    and when.

    Args:
        transport: instead of HTTP, see ``bifurk.testing``.
        settings: of ``bifurk.watch``; each also ``BIFURK_<NAME>`` in the environment. Name run and
            project here: Accelerate does not tell trackers.

    Raises:
        TypeError, ValueError: a setting does not exist or is out of range.
    """

    name = "bifurk"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self, *, transport: Transport | None = None, **settings: Unpack[WatchSettings]
    ) -> None:
        super().__init__()
        self._companion = Companion(settings, transport=transport)
        self._accelerator: weakref.ref[Any] | None = None
        self._before_steps: BeforeSteps | None = None
        self._gradients: GradientLog | None = None
        self._watched: torch.nn.Module | None = None
        self._configuration: dict[str, Any] = {}
        self._early: dict[str, Any] = {}
        self._memory: Memory | None = None
        self._resumed: dict[str, Any] | None = None
        self._names_gradient = False

    @property
    def tracker(self) -> Monitor:
        """The monitor, for ``mark`` and the like; does nothing before the first step."""
        return self._companion.monitor

    def start(self) -> None:
        """Called by ``Accelerator.init_trackers``."""
        self._companion.call(self._start)

    def attach(self, accelerator: Any) -> None:
        """Says whose models and optimizers to watch, where ``start`` could not find out."""
        self._companion.call(self._attach, accelerator)

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Keeps what ``init_trackers`` was given as ``config``, for a mark at the start."""
        self._companion.call(self._configure, values)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Passes on numbers. The step is that of the optimizer, whatever is given here."""
        del step, kwargs
        self._companion.call(self._log, values)

    def finish(self) -> None:
        """Ends the watch; as failed while an exception is on its way up."""
        self._companion.call(self._finish, sys.exception())

    def _start(self) -> None:
        accelerator = _calling_accelerator()
        if accelerator is None:
            raise LookupError("no Accelerator calls start(): call attach(accelerator) once")
        self._attach(accelerator)

    def _attach(self, accelerator: Any) -> None:
        self._end_hooks()
        if self._accelerator is None or self._accelerator() is not accelerator:
            self._accelerator = weakref.ref(accelerator)
            accelerator.register_save_state_pre_hook(self._on_save)
            accelerator.register_load_state_pre_hook(self._on_load)
        self._before_steps = BeforeSteps(
            lambda optimizer: self._companion.call(self._before_step, optimizer)
        )

    def _before_step(self, optimizer: Optimizer) -> None:
        accelerator = self._accelerator() if self._accelerator is not None else None
        if accelerator is None or self._companion.under_way:
            return
        prepared = [as_optimizers(one)[0] for one in accelerator._optimizers]  # noqa: SLF001
        if any(one is optimizer for one in prepared):
            self._begin(accelerator, prepared)

    def _begin(self, accelerator: Any, optimizers: list[Optimizer]) -> None:
        self._watched = _together(accelerator._models, optimizers)  # noqa: SLF001
        stem = type(self._watched).__name__
        memory, self._memory = self._memory, None
        self._companion.begin(self._watched, optimizers, title=Title(stem=stem), memory=memory)
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            self._companion.mark("resume", resumed)
        self._companion.mark("start", _facts(accelerator) | self._configuration)
        for scheduler in accelerator._schedulers:  # noqa: SLF001
            inner = getattr(scheduler, "scheduler", scheduler)
            self._companion.mark("schedule", {"scheduler": type(inner).__name__})
        early, self._early = self._early, {}
        if early:
            self._log(early)
        self._gradients = GradientLog(optimizers[0], self._log_gradient)

    def _configure(self, values: Mapping[str, Any]) -> None:
        self._configuration = {str(name): value for name, value in values.items()}
        if self._companion.under_way:
            self._companion.mark("start", self._configuration)

    def _log(self, values: Mapping[str, Any]) -> None:
        if not self._companion.under_way:
            self._early |= values
            return
        self._companion.look_at_groups(self._optimizers())
        self._names_gradient = self._names_gradient or GRADIENT_NORM in values
        self._companion.log(values)
        found = {name: one for name, one in values.items() if name.startswith(EVALUATION)}
        if found:
            self._companion.evaluated(found)

    def _optimizers(self) -> list[Optimizer]:
        accelerator = self._accelerator() if self._accelerator is not None else None
        return [] if accelerator is None else list(accelerator._optimizers)  # noqa: SLF001

    def _log_gradient(self, norm: torch.Tensor) -> None:
        if not self._names_gradient:
            self._companion.call(self._companion.log, {GRADIENT_NORM: norm})

    def _on_save(self, models: Any, weights: Any, folder: str) -> None:
        del models, weights
        self._companion.call(self._saved, Path(folder))

    def _on_load(self, models: Any, folder: str) -> None:
        del models
        self._companion.call(self._loaded, Path(folder))

    def _saved(self, folder: Path) -> None:
        self._companion.mark("checkpoint", {"path": str(folder)})
        memory = self._companion.memory()
        if memory is not None:
            text = json.dumps(memory.as_json())
            (folder / MEMORY_FILE).write_text(text, encoding="utf-8")

    def _loaded(self, folder: Path) -> None:
        memory = _read_memory(folder / MEMORY_FILE)
        details = {"path": str(folder)}
        if not self._companion.under_way:
            self._memory, self._resumed = memory, details
            return
        if memory is not None:
            self._companion.monitor.set_step(memory.step)
        self._companion.mark("resume", details)

    def _finish(self, error: BaseException | None) -> None:
        self._end_hooks()
        self._companion.end(error)
        self._watched = None

    def _end_hooks(self) -> None:
        for hook in (self._before_steps, self._gradients):
            if hook is not None:
                hook.remove()
        self._before_steps = self._gradients = None


def _calling_accelerator() -> Any:
    """The accelerator that calls a tracker: nothing else tells which one it belongs to."""
    accelerator = framework("accelerate", at_least=(1, 8)).Accelerator
    frame = sys._getframe()  # noqa: SLF001 - the way back to the caller
    for _ in range(MAX_FRAMES):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        if isinstance(frame.f_locals.get("self"), accelerator):
            return frame.f_locals["self"]
    return None


def _together(models: list[torch.nn.Module], optimizers: list[Optimizer]) -> torch.nn.Module:
    """The models that these optimizers train: the one, or all under their classes' names."""
    trained = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    own = [model for model in models if any(id(p) in trained for p in model.parameters())]
    if len(own) == 1:
        return own[0]
    if not own:
        raise ValueError("none of the prepared models is trained by the prepared optimizers")
    together = torch.nn.Module()
    for model in own:
        word = type(getattr(model, "module", model)).__name__.lower()
        taken = dict(together.named_children())
        names = (word if number == 1 else f"{word}_{number}" for number in range(1, len(own) + 1))
        together.add_module(next(name for name in names if name not in taken), model)
    return together


def _facts(accelerator: Any) -> dict[str, Any]:
    return {
        "trainer": "accelerate",
        "gradient_accumulation_steps": accelerator.gradient_accumulation_steps,
        "processes": accelerator.num_processes,
        "precision": str(accelerator.mixed_precision),
    }


def _read_memory(path: Path) -> Memory | None:
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        return remembered(json.loads(file.read(MEMORY_BYTES)))
    return None
