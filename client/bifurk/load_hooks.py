"""Hears of an optimizer that is given back an earlier state: a training that goes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch.optim import Optimizer

from bifurk.optimizers import own_step


class LoadHooks:
    """Compares an optimizer's own count of steps before and after ``load_state_dict``.

    One that keeps no count (plain SGD) says nothing. Reading a count that lies on a device waits
    for it, as loading does anyway.

    Args:
        optimizer: hooked, and not kept alive.
        moved: given by how many steps the count has risen, or fallen below 0; must not raise.
    """

    def __init__(self, optimizer: Optimizer, *, moved: Callable[[int], None]) -> None:
        self._moved = moved
        self._before: int | None = None
        self._handles = (
            optimizer.register_load_state_dict_pre_hook(self._note),
            optimizer.register_load_state_dict_post_hook(self._compare),
        )

    def remove(self) -> None:
        """Takes the hooks off; idempotent."""
        for handle in self._handles:
            handle.remove()

    def _note(self, optimizer: Optimizer, _state: dict[str, Any]) -> None:
        self._before = _count(optimizer)

    def _compare(self, optimizer: Optimizer) -> None:
        before, after = self._before, _count(optimizer)
        if before is not None and after is not None:
            self._moved(after - before)


def _count(optimizer: Optimizer) -> int | None:
    # Whatever stands in a foreign state must not stop its loading.
    with suppress(Exception):
        return own_step([optimizer])
    return None
