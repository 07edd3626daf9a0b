"""Which of an accelerator's optimizers are watched, and when another one becomes the clock."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch.optim import Optimizer

from bifurk.by_identity import ByIdentity
from bifurk.integrations.prepared import chosen

SILENT_STEPS: Final = 1_000
"""Of other optimizers without one of the clock's: more than critics are ahead of generators."""

_log = logging.getLogger("bifurk")


class Clock:
    """The optimizers watched in one training, of which the first counts the steps.

    Keeps none of them alive. Each optimizer becomes the clock at most once by itself, so that two
    that step in turns do not begin one attempt after the other.
    """

    def __init__(self) -> None:
        self._watched: tuple[weakref.ref[Optimizer], ...] = ()
        self._joined: ByIdentity[Optimizer, torch.nn.Module] = ByIdentity()
        self._tried: ByIdentity[Optimizer, bool] = ByIdentity()
        self._silent_steps = 0
        self._told = False

    @property
    def began(self) -> bool:
        """Whether anything was watched so far, gone or not."""
        return bool(self._watched)

    def optimizers(self) -> list[Optimizer]:
        """Those that are watched; none when the clock no longer exists."""
        found = [one() for one in self._watched]
        return [one for one in found if one is not None] if found and found[0] is not None else []

    def ticks(self, optimizer: Optimizer) -> bool:
        """Whether a step of this optimizer is one of the clock's."""
        if not self._watched or self._watched[0]() is not optimizer:
            return False
        self._silent_steps = 0
        return True

    def instead(
        self, optimizer: Optimizer, prepared: Callable[[], Sequence[Optimizer]]
    ) -> list[Optimizer] | None:
        """What to watch from a step of another optimizer on; None for what is watched already.

        Warns once of an optimizer that stays out.
        """
        watched = self.optimizers()
        if any(one is optimizer for one in watched) and self._silent_steps < SILENT_STEPS:
            self._silent_steps += 1
            return None
        every = prepared()
        if not any(one is optimizer for one in every):
            return None
        if self._tried.get(optimizer):
            self._tell_left_out(optimizer)
            return None
        self._tried[optimizer] = True
        return chosen(every, optimizer, first=bool(watched))

    def follow(
        self, optimizers: Sequence[Optimizer], joined: torch.nn.Module | None, *, by: Optimizer
    ) -> None:
        """Takes these for the watched ones.

        Args:
            joined: a module made of theirs, to live as long as the first of them.
            by: the one whose step it began with; where it is not the clock, it still may become it.
        """
        self._watched, self._silent_steps = tuple(map(weakref.ref, optimizers)), 0
        self._tried[by] = by is optimizers[0]
        if joined is not None:
            self._joined[optimizers[0]] = joined

    def _tell_left_out(self, optimizer: Optimizer) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "steps of a prepared %s are not counted: an optimizer begins at most one attempt"
                " of a training. Call bifurk.watch for it yourself",
                type(optimizer).__name__,
            )
