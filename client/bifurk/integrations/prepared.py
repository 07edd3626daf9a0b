"""What an ``Accelerator`` tells: itself, what it has prepared, and its settings."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from torch.optim import Optimizer

from bifurk.integrations.frameworks import framework

MAX_FRAMES: Final = 16
"""Between ``Accelerator.init_trackers`` and ``start``; three as of Accelerate 1.15."""


def calling_accelerator() -> Any:
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


def facts(accelerator: Any) -> dict[str, Any]:
    """Of a mark ``start``."""
    return {
        "trainer": "accelerate",
        "gradient_accumulation_steps": accelerator.gradient_accumulation_steps,
        "processes": accelerator.num_processes,
        "precision": str(accelerator.mixed_precision),
    }


def bare(prepared: Iterable[Any]) -> list[Optimizer]:
    """The optimizers inside Accelerate's wrappers, and inside those of others."""
    return [_inmost(one) for one in prepared]


def chosen(prepared: Sequence[Optimizer], stepping: Optimizer, *, first: bool) -> list[Optimizer]:
    """Those to watch, without the ones that ``stepping`` has taken the place of.

    Args:
        prepared: all, in order. stepping: one of them.
        first: whether it becomes the clock, rather than the first one prepared.
    """
    own = _ids([stepping])
    rest = [one for one in prepared if one is stepping or _ids([one]) != own]
    return sorted(rest, key=lambda one: one is not stepping) if first else rest


def together(models: Sequence[torch.nn.Module], optimizers: Sequence[Optimizer]) -> torch.nn.Module:
    """The models that these optimizers train: the one, or all under their classes' names.

    Raises:
        ValueError: they train none of them.
    """
    trained = _ids(optimizers)
    own = [model for model in models if any(id(p) in trained for p in model.parameters())]
    if len(own) == 1:
        return own[0]
    if not own:
        raise ValueError("none of the prepared models is trained by the prepared optimizers")
    made = torch.nn.Module()
    for model in own:
        word = type(getattr(model, "module", model)).__name__.lower()
        taken = dict(made.named_children())
        names = (word if number == 1 else f"{word}_{number}" for number in range(1, len(own) + 1))
        made.add_module(next(name for name in names if name not in taken), model)
    return made


def _ids(optimizers: Iterable[Optimizer]) -> frozenset[int]:
    return frozenset(
        id(p) for one in optimizers for group in one.param_groups for p in group["params"]
    )


def _inmost(optimizer: Any) -> Optimizer:
    inner = getattr(optimizer, "optimizer", None)
    return _inmost(inner) if isinstance(inner, Optimizer) else optimizer
