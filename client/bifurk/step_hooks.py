"""Hooks around an optimizer's step that run once a step, whatever stands between."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import currentframe
from types import FrameType
from typing import Any, Final, TypeAlias

import torch
from torch.optim import Optimizer

from bifurk.scaler_skips import ScalerSkips

Hook: TypeAlias = Callable[[Optimizer, Any, Any], None]

_TORCH_MODULE: Final = Optimizer.__module__
"""Where the function lies that runs the hooks around ``step``."""
_CHECKPOINT_MODULE: Final = "torch.distributed.checkpoint.state_dict"
_MAKES_ROOM: Final = "_init_optim_state"
"""Its function that steps a fresh optimizer without gradients, for a state to load into."""


class StepHooks:
    """Calls ``before`` and ``after`` around every step of one optimizer until removed.

    torch wraps ``step`` of every class of which there was an instance, so that a subclass whose
    ``step`` calls ``super().step()`` runs the hooks twice, one pair inside the other: only the
    outer pair counts. Steps that a CUDA graph records rather than takes do not count, nor does the
    one by which ``torch.distributed.checkpoint`` makes room for a state.

    Args:
        optimizer: hooked, and not kept alive. before: must not raise.
        after: likewise; given how many steps turned out to have changed nothing since the last
            call, the one just done included, see ``ScalerSkips``.
    """

    def __init__(
        self, optimizer: Optimizer, *, before: Callable[[], None], after: Callable[[int], None]
    ) -> None:
        self._before = before
        self._after = after
        self._skips = ScalerSkips()
        # Not a mere depth: a step that raised never comes to its end, and would be counted in it
        # for good. That its frame has left the stack is certain.
        self._under_way: list[int] = []
        self._makes_room = False
        self._handles = (
            optimizer.register_step_pre_hook(_untraced(self._enter)),
            optimizer.register_step_post_hook(_untraced(self._leave)),
        )

    def remove(self) -> None:
        """Takes the hooks off; idempotent."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self._makes_room = _makes_room(optimizer)
        if self._makes_room or _recorded():
            return
        frame = _step_frame()
        if self._under_way:
            self._forget_ended(frame and frame.f_back)
        self._under_way.append(id(frame))
        if len(self._under_way) == 1:
            self._before()

    def _leave(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._makes_room or _recorded():
            return
        if len(self._under_way) > 1:
            self._forget_ended(currentframe())
        del self._under_way[-1:]
        if not self._under_way:
            self._after(self._skips.settle(optimizer))

    def _forget_ended(self, frame: FrameType | None) -> None:
        """Forgets the steps that are not among this frame and those that called it."""
        alive = set()
        while frame is not None:
            alive.add(id(frame))
            frame = frame.f_back
        self._under_way = [step for step in self._under_way if step in alive]


def _step_frame() -> FrameType | None:
    """The frame that lasts as long as the step whose hook is running."""
    frame = currentframe()
    while frame is not None and frame.f_globals.get("__name__") != _TORCH_MODULE:
        frame = frame.f_back
    return frame


def _makes_room(optimizer: Optimizer) -> bool:
    """Whether the step is taken for a checkpoint's sake: it changes no weight."""
    if _CHECKPOINT_MODULE not in sys.modules or optimizer.state:
        return False
    frame = currentframe()
    while frame is not None and frame.f_code.co_name != _MAKES_ROOM:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == _CHECKPOINT_MODULE


def _recorded() -> bool:
    """Whether a CUDA graph is recording: no step is taken, and a copy to the host would fail."""
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return in_use and torch.cuda.is_current_stream_capturing()


def _untraced(hook: Hook) -> Hook:
    """The hook, hidden from a compiler that traces the step: it runs between the graphs."""
    hidden: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return hidden
