"""The tracker for Accelerate, in training loops of one's own."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import torch
from torch.optim import Optimizer

from bifurk.integrations.clock import Clock
from bifurk.integrations.companion import Companion, Title
from bifurk.integrations.first_step import BeforeSteps
from bifurk.integrations.folder_memory import digest_of, read_memory, write_memory
from bifurk.integrations.frameworks import framework
from bifurk.integrations.gradients import GradientLog
from bifurk.integrations.handled import note_handled, stopped_by
from bifurk.integrations.memory import Memory
from bifurk.integrations.prepared import bare, calling_accelerator, facts, together
from bifurk.monitor import Monitor
from bifurk.optimizers import own_step

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from bifurk.config import WatchSettings
    from bifurk.transport import Transport
else:
    GeneralTracker = framework("accelerate.tracking", at_least=(1, 8)).GeneralTracker

EVALUATION: Final = re.compile(r"(?:^|[/.])(?:eval|val|validation|test)(?:[_/.]|$)")
"""In the names of what an evaluation found."""
GRADIENT_NORM: Final = "grad_norm"

_log = logging.getLogger("bifurk")


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
        self._start_anew(Companion(settings, transport=transport))

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles start anew, with the same settings."""
        return {"companion": self._companion}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._start_anew(state["companion"])

    def _start_anew(self, companion: Companion) -> None:
        self._companion = companion
        self._accelerator: weakref.ref[Any] | None = None
        self._before_steps: BeforeSteps | None = None
        self._gradients: GradientLog | None = None
        self._clock = Clock()
        self._configuration: dict[str, Any] = {}
        self._early: dict[str, Any] = {}
        self._loaded_from: Path | None = None
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
        """Ends the watch; as failed while an exception is on its way up out of the training."""
        self._companion.call(self._finish, stopped_by(self))

    def _start(self) -> None:
        accelerator = calling_accelerator()
        if accelerator is None:
            raise LookupError("no Accelerator calls start(): call attach(accelerator) once")
        self._attach(accelerator)

    def _attach(self, accelerator: Any) -> None:
        self._end_hooks()
        if self._accelerator is None or self._accelerator() is not accelerator:
            self._accelerator = weakref.ref(accelerator)
            accelerator.register_save_state_pre_hook(self._on_save)
            accelerator.register_load_state_pre_hook(self._on_load)
        self._clock = Clock()
        self._before_steps = BeforeSteps(
            lambda optimizer: self._companion.call(self._before_step, optimizer)
        )

    def _before_step(self, optimizer: Optimizer) -> None:
        if self._clock.ticks(optimizer):
            note_handled(self)
            if self._loaded_from is not None:
                self._begin(self._clock.optimizers(), by=optimizer)
            return
        optimizers = self._clock.instead(optimizer, self._prepared)
        if optimizers is not None:
            self._begin(optimizers, by=optimizer)
            note_handled(self)

    def _prepared(self) -> list[Optimizer]:
        accelerator = self._accelerator() if self._accelerator is not None else None
        return [] if accelerator is None else bare(accelerator._optimizers)  # noqa: SLF001

    def _begin(self, optimizers: list[Optimizer], *, by: Optimizer) -> None:
        accelerator = self._accelerator() if self._accelerator is not None else None
        if accelerator is None:
            return
        models = accelerator._models  # noqa: SLF001
        model = together(models, optimizers)
        folder, self._loaded_from = self._loaded_from, None
        memory = None if folder is None else self._memory(folder, models)
        same_run = self._end_attempt(optimizers)
        title = Title(stem=type(model).__name__)
        self._companion.begin(model, optimizers, title=title, memory=memory or same_run)
        alone = any(one is model for one in models)
        self._clock.follow(optimizers, None if alone else model, by=by)
        self._gradients = GradientLog(optimizers[0], self._log_gradient)
        if folder is not None:
            self._companion.mark("resume", {"path": str(folder)})
        self._tell_start(accelerator)

    def _memory(self, folder: Path, models: list[torch.nn.Module]) -> Memory | None:
        """What lies in a loaded folder, where it is about these weights and about this run."""
        found = read_memory(folder)
        if found is None:
            return None
        memory, digest = found
        if digest != digest_of(models):
            _log.warning(
                "%s: bifurk.json was not written with the weights that were loaded from there;"
                " the steps go by the optimizer's own count",
                folder,
            )
            return None
        ours = (self._companion.project, self._companion.run)
        return memory if not self._clock.began or (memory.project, memory.run) == ours else None

    def _end_attempt(self, optimizers: list[Optimizer]) -> Memory | None:
        """Ends what is watched, if anything; where its run goes on with these optimizers."""
        if not self._clock.began:
            return None
        step = self._companion.monitor.step if self._clock.ticks(optimizers[0]) else None
        if self._gradients is not None:
            self._gradients.remove()
        self._companion.end()
        project, run = self._companion.project, self._companion.run
        return Memory(project=project, run=run, step=own_step(optimizers) or step or 0)

    def _tell_start(self, accelerator: Any) -> None:
        self._companion.mark("start", facts(accelerator) | self._configuration)
        for scheduler in accelerator._schedulers:  # noqa: SLF001
            inner = getattr(scheduler, "scheduler", scheduler)
            self._companion.mark("schedule", {"scheduler": type(inner).__name__})
        early, self._early = self._early, {}
        if early:
            self._companion.call(self._log, early)

    def _configure(self, values: Mapping[str, Any]) -> None:
        self._configuration = {str(name): value for name, value in values.items()}
        if self._companion.under_way:
            self._companion.mark("start", self._configuration)

    def _log(self, values: Mapping[Any, Any]) -> None:
        named = {str(name): value for name, value in values.items()}
        optimizers = self._clock.optimizers()
        if not optimizers:
            self._early |= {name: _without_graph(value) for name, value in named.items()}
            return
        self._companion.look_at_groups(optimizers)
        self._names_gradient = self._names_gradient or GRADIENT_NORM in named
        self._companion.log(named)
        found = {name: one for name, one in named.items() if EVALUATION.search(name)}
        if found:
            self._companion.evaluated(found)

    def _log_gradient(self, norm: torch.Tensor) -> None:
        if not self._names_gradient:
            self._companion.call(self._companion.log, {GRADIENT_NORM: norm})

    def _on_save(self, models: Any, weights: Any, folder: str) -> None:
        del weights
        self._companion.call(self._saved, models, Path(folder))

    def _on_load(self, models: Any, folder: str) -> None:
        del models
        self._companion.call(self._loaded, Path(folder))

    def _saved(self, models: Any, folder: Path) -> None:
        self._companion.mark("checkpoint", {"path": str(folder)})
        memory = self._companion.memory() if self._clock.optimizers() else None
        if memory is not None:
            write_memory(folder, memory, models)

    def _loaded(self, folder: Path) -> None:
        # What is loaded is there only after this; the next step begins with it.
        self._loaded_from = folder

    def _finish(self, error: BaseException | None) -> None:
        self._end_hooks()
        self._companion.end(error)
        self._clock, self._loaded_from = Clock(), None

    def _end_hooks(self) -> None:
        for hook in (self._before_steps, self._gradients):
            if hook is not None:
                hook.remove()
        self._before_steps = self._gradients = None


def _without_graph(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
