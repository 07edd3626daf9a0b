"""What is read from the user's optimizers: their step, settings and learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch.optim import Optimizer

from bifurk.wire import Detail


def as_optimizers(given: object) -> tuple[Optimizer, ...]:
    """The torch optimizers behind what the user passed: one, a sequence, wrapped or not.

    Raises:
        TypeError: something else was passed. ValueError: the sequence is empty.
    """
    several = given if isinstance(given, Sequence) else (given,)
    optimizers = tuple(_unwrapped(optimizer) for optimizer in several)
    if not optimizers:
        raise ValueError("watch() needs at least one optimizer, got an empty sequence")
    return optimizers


def own_step(optimizers: Iterable[Optimizer]) -> int:
    """The steps the first optimizer says it has done, 0 when it keeps no count.

    A count that lies on a device is waited for: not to be asked while training.
    """
    first = next(iter(optimizers))
    steps = [state["step"] for state in first.state.values() if "step" in state]
    return max((int(step) for step in steps), default=0)


def learning_rates(optimizers: Iterable[Optimizer]) -> tuple[float | torch.Tensor, ...]:
    """One a parameter group; a rate that is a tensor on a device comes as a copy there."""
    return tuple(
        _rate(group["lr"]) for o in optimizers for group in o.param_groups if "lr" in group
    )


def name_of(optimizers: Sequence[Optimizer]) -> str:
    """``AdamW``, or ``AdamW+SGD`` for several."""
    return "+".join(type(optimizer).__name__ for optimizer in optimizers)


def settings(optimizer: Optimizer) -> dict[str, Detail]:
    """The scalar settings of the first group; of a tuple such as betas, each under its number."""
    return {
        name: value
        for name, value in _flattened(optimizer.param_groups[0])
        if value is None or isinstance(value, str | float | int | bool)
    }


def _flattened(group: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in group.items():
        if isinstance(value, tuple):
            yield from ((f"{name}.{number}", item) for number, item in enumerate(value))
        else:
            yield name, value


def _unwrapped(optimizer: object) -> Optimizer:
    # Accelerate's wrapper is itself an Optimizer, without hooks of its own.
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, Optimizer):
        return _unwrapped(inner)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer or a sequence of them,"
            f" got {type(optimizer).__name__}"
        )
    return optimizer


def _rate(rate: Any) -> float | torch.Tensor:
    if isinstance(rate, torch.Tensor):
        alone = rate.detach().reshape(())
        return float(alone) if alone.device.type == "cpu" else alone.clone()
    return float(cast("float", rate))
