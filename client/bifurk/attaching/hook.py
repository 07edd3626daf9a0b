"""Waits for optimizers to step for the first time, and has what they train watched."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from torch import nn
from torch.optim import Optimizer

from bifurk.integrations.first_step import BeforeSteps

if TYPE_CHECKING:
    from bifurk.attaching.owners import Owners

MOST_ALIKE: Final = 1000
"""Trainings of one class in a process that are told apart."""

_attachment: Attachment | None = None


def attach() -> None:
    """Registers the one hook of this process; the rest of bifurk is imported when it runs."""
    global _attachment  # noqa: PLW0603 - PyTorch's hook is one of the process
    if _attachment is None:
        _attachment = Attachment()
        BeforeSteps(_attachment.before_step)


class Attachment:
    """What is watched without having been asked to."""

    def __init__(self) -> None:
        self._seen: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._watched: dict[int, weakref.ref[nn.Module]] = {}
        self._runs: set[str] = set()
        self._process = os.getpid()

    def before_step(self, optimizer: Optimizer) -> None:
        """Every step of every optimizer comes by here; all but the first ones go on at once."""
        if optimizer in self._seen:
            return
        self._seen.add(optimizer)
        if os.getpid() != self._process:
            return
        try:
            self._watch(optimizer)
        except Exception as error:  # noqa: BLE001 - the script must not notice
            _say(f"this training runs unwatched: {type(error).__name__}: {error}")

    def _watch(self, optimizer: Optimizer) -> None:
        from bifurk.attaching.owners import optimizers_within, owners_of  # noqa: PLC0415
        from bifurk.watching import is_watched, watch  # noqa: PLC0415 - not before it is needed

        owners = owners_of(optimizer)
        if not owners.modules:
            _say(f"no module holds what {_class(optimizer)} trains: not watched")
            return
        if all(self._is_watched(module) for module in owners.modules):
            return
        others = [one for one in optimizers_within(owners.modules) if one is not optimizer]
        if any(map(is_watched, [optimizer, *others])):
            return
        run = self._run_for(owners.modules)
        monitor = watch(_as_one(owners.modules), [optimizer, *others], run=run)
        self._runs.add(run)
        self._watched |= {id(module): weakref.ref(module) for module in owners.modules}
        if monitor.step is not None:
            _warn_of(owners, optimizer)
            _say(f"watches {_classes(owners.modules)} as {run}")

    def _is_watched(self, module: nn.Module) -> bool:
        known = self._watched.get(id(module))
        return known is not None and known() is module

    def _run_for(self, modules: Sequence[nn.Module]) -> str:
        """The first training has the name that was given; what else trains says what it is."""
        from bifurk.wire.slug import MAX_SLUG_CHARACTERS, to_slug  # noqa: PLC0415 - as above

        name = os.environ["BIFURK_RUN"]
        what = to_slug(_class(modules[0]), "model")
        endings = ("", f"-{what}", *(f"-{what}-{number}" for number in range(2, MOST_ALIKE)))
        names = (f"{name[: MAX_SLUG_CHARACTERS - len(ending)]}{ending}" for ending in endings)
        return next(name for name in names if name not in self._runs)


def _as_one(modules: Sequence[nn.Module]) -> nn.Module:
    if len(modules) == 1:
        return modules[0]
    names = [_class(module) for module in modules]
    return nn.ModuleDict(
        {
            name if names.count(name) == 1 else f"{name}_{place}": module
            for place, (name, module) in enumerate(zip(names, modules, strict=True))
        }
    )


def _warn_of(owners: Owners, optimizer: Optimizer) -> None:
    if owners.rivals:
        _say(
            f"{_classes(owners.rivals)} hold what {_class(optimizer)} trains as well as"
            f" {_classes(owners.modules)} does; it is the last that is watched"
        )
    if owners.orphans:
        _say(f"{owners.orphans} tensors that {_class(optimizer)} trains are in no module")


def _classes(objects: Sequence[object]) -> str:
    return ", ".join(map(_class, objects))


def _class(one: object) -> str:
    return type(one).__name__


def _say(sentence: str) -> None:
    print(f"bifurk: {sentence}", file=sys.stderr, flush=True)
