"""What the integrations have in common: a watch that begins, listens and ends with a trainer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

import torch
from torch.optim import Optimizer

from bifurk.config import WatchConfig, WatchSettings
from bifurk.configure import given, resolve
from bifurk.guard import Wall
from bifurk.identity import fresh_run
from bifurk.integrations.memory import Memory
from bifurk.monitor import InertMonitor, Monitor
from bifurk.transport import Transport
from bifurk.watching import watch
from bifurk.wire.limits import MAX_NAME_CHARACTERS
from bifurk.wire.slug import MAX_SLUG_CHARACTERS, to_slug

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("bifurk")

CLOSE_SECONDS: Final = 5.0
"""How long a training's end may wait for the network, as an interpreter's exit; what has not been
sent by then lies on disk for the next run."""

HASH_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """What a trainer was told of the run's name; None for nothing.

    Attributes:
        chosen: whether somebody chose this name for this very training: it then wins over the
            name that a checkpoint remembers.
        stem: what a fresh name begins with where there is no other.
        own: whether every training is a run of its own, as the trials of a search are.
    """

    run: str | None = None
    project: str | None = None
    chosen: bool = False
    stem: str = "run"
    own: bool = False


class Companion:
    """Watches one training after the other on a trainer's behalf.

    Making it checks the settings; after that nothing raises. Copies and pickles of it start
    anew, with the same settings.

    Args:
        settings: of ``bifurk.watch``. transport: instead of HTTP.

    Raises:
        TypeError, ValueError: a setting does not exist or is out of range.
    """

    def __init__(self, settings: WatchSettings, *, transport: Transport | None = None) -> None:
        checked = resolve(settings, transport_given=transport is not None)
        self._settings = settings
        self._given = given(settings)
        self._checked: WatchConfig = checked
        self._transport = transport
        # The end has to be told when other events have failed, however often.
        self._wall = Wall(failures_in_a_row=None)
        self._groups: tuple[int, ...] = ()
        self._fresh_runs: dict[str, str] = {}
        self.project = checked.project
        self.run = checked.run
        self.monitor: Monitor = InertMonitor()
        self.under_way = False
        """Whether a training that began has not ended yet."""
        self._told_late = False

    def __reduce__(self) -> tuple[type[Companion], tuple[WatchSettings]]:
        return Companion, (self._settings,)

    @property
    def watches(self) -> bool:
        """Whether a training is under way that this process takes anything of."""
        return self.under_way and self.monitor.step is not None

    def call(self, listener: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Runs what a trainer's event is answered with, behind the wall."""
        return self._wall.run(listener, *args, **kwargs)

    def begin(
        self,
        model: torch.nn.Module,
        optimizers: Optimizer | Sequence[Optimizer],
        *,
        title: Title,
        memory: Memory | None = None,
        start_step: int | None = None,
    ) -> None:
        """Starts to watch; a training that is still under way has then failed.

        Args:
            model: the bare one. optimizers: as for ``watch``.
            title: the run's name, where neither settings nor memory say it.
            memory: of the checkpoint that the training goes on from.
            start_step: the trainer's own counter, used where there is no memory.
        """
        if self.under_way:
            self.end(RuntimeError("the training began anew before it had ended"))
        self.run = self._run(title, memory)
        self.project = self._project(title, memory)
        told = {
            "run": self.run,
            "project": self.project,
            "display_name": self._display_name(title),
            "start_step": start_step if memory is None else memory.step,
        }
        undecided = {name: value for name, value in told.items() if name not in self._given}
        settings = cast("WatchSettings", {**self._settings, **undecided})
        self.monitor = InertMonitor()
        self.monitor = watch(model, optimizers, transport=self._transport, **settings)
        self.under_way = True
        self._groups = ()
        self.look_at_groups(optimizers)

    def log(self, scalars: Mapping[str, object]) -> None:
        """Passes on what is a number."""
        self.monitor.log(**{name: one for name, one in scalars.items() if is_number(one)})

    def mark(self, kind: str, details: Mapping[str, object]) -> None:
        """Marks the present step; what is None is left out."""
        self.monitor.mark(kind, **{k: one for k, one in details.items() if one is not None})

    def evaluated(self, metrics: Mapping[str, object]) -> None:
        """Marks an evaluation, with those of its metrics that are numbers; says so once if late."""
        if self.under_way:
            self.mark("evaluation", {k: float(v) for k, v in metrics.items() if is_number(v)})  # type: ignore[arg-type]
        elif self.monitor.step is not None and not self._told_late:
            self._told_late = True
            _log.warning(
                "an evaluation after the training's end is not sent: run %s has ended", self.run
            )

    def look_at_groups(self, optimizers: Optimizer | Sequence[Optimizer]) -> None:
        """Marks parameter groups that came or went since the last look, as unfreezing adds them."""
        several = optimizers if isinstance(optimizers, Sequence) else (optimizers,)
        groups = tuple(len(optimizer.param_groups) for optimizer in several)
        if self._groups and groups != self._groups:
            details = {"parameter_groups": sum(groups), "before": sum(self._groups)}
            self.mark("schedule", details)
        self._groups = groups

    def memory(self, *, tokens: int = 0, trainer_step: int | None = None) -> Memory | None:
        """What a checkpoint written now should remember; None where nothing is watched."""
        step = self.monitor.step
        if step is None:
            return None
        return Memory(
            project=self.project, run=self.run, step=step, tokens=tokens, trainer_step=trainer_step
        )

    def end(self, error: BaseException | None = None) -> None:
        """Ends the watch, as failed where there is an error; again is no error."""
        self.under_way = False
        self.monitor._leave(error, CLOSE_SECONDS)  # noqa: SLF001 - a with block's end, but sooner

    def _run(self, title: Title, memory: Memory | None) -> str:
        if "run" in self._given:
            return self._checked.run
        if title.run is not None and (title.chosen or memory is None):
            return own_slug(title.run, "run")
        if memory is not None:
            return memory.run
        if title.own or title.stem not in self._fresh_runs:
            self._fresh_runs[title.stem] = fresh_run(title.stem)
        return self._fresh_runs[title.stem]

    def _display_name(self, title: Title) -> str | None:
        """The title, where the run is named after it: another run keeps the name it has."""
        named = title.run is not None and self.run == own_slug(title.run, "run")
        return title.run[:MAX_NAME_CHARACTERS] if named and title.run is not None else None

    def _project(self, title: Title, memory: Memory | None) -> str:
        if "project" in self._given:
            return self._checked.project
        if title.project is not None and (title.chosen or memory is None):
            return own_slug(title.project, "project")
        return self._checked.project if memory is None else memory.project


def own_slug(text: str, what: str) -> str:
    """A slug that no other text has: where characters are lost, a hash of all of them ends it.

    >>> own_slug("lr-1e-3", "run"), own_slug("lr=1e-3", "run")
    ('lr-1e-3', 'lr-1e-3-f703a96f')
    """
    slug = to_slug(text, what)
    if slug == text:
        return slug
    word = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_CHARACTERS]
    return f"{slug[: MAX_SLUG_CHARACTERS - len(word) - 1]}-{word}"


def is_number(value: Any) -> bool:
    """Whether ``Monitor.log`` takes it: a number, or anything with a single element."""
    if isinstance(value, bool | int | float):
        return True
    if hasattr(value, "numel"):
        return bool(value.numel() == 1)
    return hasattr(value, "item") and getattr(value, "size", None) == 1
