"""What is read from the user's optimizers: their step, settings and learning rates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeGuard, cast

import torch
from torch.optim import Optimizer

from bifurk.wire import Detail
from bifurk.wire.limits import (
    MAX_ENTRIES,
    MAX_INTEGER,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
)

MAX_RATES: Final = MAX_ENTRIES
"""Learning rates that the wire takes; one a parameter group, and some give every weight its own."""

_log = logging.getLogger("bifurk")


def as_optimizers(given: object) -> tuple[Optimizer, ...]:
    """The torch optimizers behind what the user passed: one, a sequence, wrapped or not.

    Warns where they have more parameter groups than learning rates can be recorded.

    Raises:
        TypeError: something else was passed, or the first one runs no hooks. ValueError: the
            sequence is empty.
    """
    several = given if isinstance(given, Sequence) else (given,)
    optimizers = tuple(_unwrapped(optimizer) for optimizer in several)
    if not optimizers:
        raise ValueError("watch() needs at least one optimizer, got an empty sequence")
    _check_hooks(optimizers[0])
    groups = sum(len(optimizer.param_groups) for optimizer in optimizers)
    if groups > MAX_RATES:
        _log.warning(
            "%d parameter groups: the learning rates of the first %d are recorded",
            groups,
            MAX_RATES,
        )
    return optimizers


def own_step(optimizers: Iterable[Optimizer]) -> int:
    """The steps the first optimizer says it has done, 0 when it keeps no count.

    A count that lies on a device is waited for: not to be asked while training.
    """
    first = next(iter(optimizers))
    steps = [state["step"] for state in first.state.values() if "step" in state]
    return max((int(step) for step in steps), default=0)


def only_of_others(optimizers: Sequence[Optimizer]) -> frozenset[int]:
    """Ids of the parameters that the first optimizer does not train and another one does."""
    if len(optimizers) < 2:
        return frozenset()
    first, *others = (_ids(optimizer) for optimizer in optimizers)
    return frozenset().union(*others) - first


def learning_rates(optimizers: Iterable[Optimizer]) -> tuple[float | torch.Tensor, ...]:
    """One a parameter group, of at most the first ``MAX_RATES`` that have one.

    A rate that is a tensor on a device comes as a copy there.
    """
    rates = (group["lr"] for o in optimizers for group in o.param_groups if "lr" in group)
    return tuple(_rate(rate) for rate in islice(rates, MAX_RATES))


def name_of(optimizers: Sequence[Optimizer]) -> str:
    """``AdamW``, or ``AdamW x120+SGD`` for several; at most ``MAX_NAME_CHARACTERS``."""
    counts = Counter(type(optimizer).__name__ for optimizer in optimizers)
    names = (name if count == 1 else f"{name} x{count}" for name, count in counts.items())
    return "+".join(names)[:MAX_NAME_CHARACTERS]


def settings(optimizer: Optimizer) -> dict[str, Detail]:
    """The scalar settings of the first group; of a tuple such as betas, each under its number.

    What the wire would refuse (long texts, huge numbers, more than ``MAX_ENTRIES``) is left out.
    """
    found = _flattened(optimizer.param_groups[0])
    return dict(islice((pair for pair in found if _sendable(pair)), MAX_ENTRIES))


def _ids(optimizer: Optimizer) -> frozenset[int]:
    return frozenset(id(p) for group in optimizer.param_groups for p in group["params"])


def _flattened(group: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in group.items():
        if isinstance(value, tuple):
            yield from ((f"{name}.{number}", item) for number, item in enumerate(value))
        else:
            yield name, value


def _sendable(pair: tuple[str, object]) -> TypeGuard[tuple[str, Detail]]:
    name, value = pair
    if len(name) > MAX_NAME_CHARACTERS:
        return False
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_CHARACTERS
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return value is None or isinstance(value, float)


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


def _check_hooks(optimizer: Optimizer) -> None:
    try:
        optimizer.register_step_pre_hook(lambda *_: None).remove()
    except AttributeError:
        raise TypeError(
            f"{type(optimizer).__name__} runs no hooks, because it never calls Optimizer.__init__:"
            " pass the optimizer that it wraps"
        ) from None


def _rate(rate: Any) -> float | torch.Tensor:
    if isinstance(rate, torch.Tensor):
        alone = rate.detach().reshape(())
        return float(alone) if alone.device.type == "cpu" else alone.clone()
    return float(cast("float", rate))
