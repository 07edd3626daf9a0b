"""Waits for optimizers to step for the first time, and has what they train watched."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from torch import Tensor, nn
from torch.optim import Optimizer

from bifurk.attaching.naming import own_name
from bifurk.attaching.saying import say
from bifurk.by_identity import ByIdentity
from bifurk.integrations.first_step import BeforeSteps

if TYPE_CHECKING:
    from bifurk.attaching.owners import Owners

MOST_TRAININGS: Final = 8
"""Watched in one process: what begins ever new ones (an inner loop, a search) is not."""
MOST_SEARCHES: Final = 32
"""For the owners of an optimizer: each looks at everything there is in the process."""
OF_BIFURK: Final = tuple(
    f"bifurk.integrations.{trainer}" for trainer in ("transformers", "lightning", "accelerate")
)
"""What a script imports that has bifurk watch by itself."""

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
        self._seen: ByIdentity[Optimizer, bool] = ByIdentity()
        self._held: ByIdentity[Tensor, bool] = ByIdentity()
        self._runs: set[str] = set()
        self._searches = 0
        self._ended = False
        self._process = os.getpid()

    def before_step(self, optimizer: Optimizer) -> None:
        """Every step of every optimizer comes by here; all but the first ones go on at once."""
        try:
            if optimizer not in self._seen:
                self._seen[optimizer] = True
                self._look_at(optimizer)
        except Exception as error:  # noqa: BLE001 - the script must not notice
            say(f"this training runs unwatched: {type(error).__name__}: {error}")

    def _look_at(self, optimizer: Optimizer) -> None:
        if os.getpid() != self._process:
            if self._runs:
                return  # forked from a training, as the workers of a DataLoader are
            self._process = os.getpid()
        if self._ended or any(name in sys.modules for name in OF_BIFURK):
            return
        if all(parameter in self._held for parameter in parameters_of(optimizer)):
            return
        self._searches += 1
        if self._searches > MOST_SEARCHES or len(self._runs) >= MOST_TRAININGS:
            self._ended = True
            say(f"{len(self._runs)} trainings are watched in this process; further ones are not")
            return
        self._watch(optimizer)

    def _watch(self, optimizer: Optimizer) -> None:
        from bifurk.attaching.owners import optimizers_within, owners_of  # noqa: PLC0415
        from bifurk.watching import watch_unasked  # noqa: PLC0415 - not before it is needed

        owners = owners_of(optimizer)
        if not owners.modules:
            frozen = " (gc.freeze() hides modules)" if gc.get_freeze_count() else ""
            say(f"no module holds what {_class(optimizer)} trains{frozen}: not watched")
            return
        others = [one for one in optimizers_within(owners.modules) if one is not optimizer]
        run = self._run_for(owners.modules)
        monitor = watch_unasked(_as_one(owners.modules), [optimizer, *others], run=run)
        if monitor is None:
            return
        self._runs.add(run)
        for module in owners.modules:
            for parameter in module.parameters():
                self._held[parameter] = True
        if monitor.step is not None:
            _warn_of(owners, optimizer)
            say(f"watches {_classes(owners.modules)} as {run}")

    def _run_for(self, modules: Sequence[nn.Module]) -> str:
        """The first training has the name that was given; what else trains says what it is."""
        from bifurk.wire.slug import MAX_SLUG_CHARACTERS, to_slug  # noqa: PLC0415 - as above

        name = own_name(os.environ["BIFURK_RUN"])
        what = to_slug(_class(modules[0]), "model")
        numbers = range(2, MOST_TRAININGS + 2)
        endings = ("", f"-{what}", *(f"-{what}-{number}" for number in numbers))
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
        say(
            f"{_classes(owners.rivals)} hold what {_class(optimizer)} trains as well as"
            f" {_classes(owners.modules)} does; it is the last that is watched"
        )
    if owners.orphans:
        say(f"{owners.orphans} tensors that {_class(optimizer)} trains are in no module")


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All that it trains."""
    return [one for group in optimizer.param_groups for one in group["params"]]


def _classes(objects: Sequence[object]) -> str:
    return ", ".join(map(_class, objects))


def _class(one: object) -> str:
    return type(one).__name__
