"""Why a parameter cannot be watched."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import torch
from torch.nn.parameter import is_lazy

from bifurk.flat_parameters import AROUND, is_flattened
from bifurk.held import Held
from bifurk.shards import UnreadableShardError

DTYPES: Final = {
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.float32: "float32",
    torch.float64: "float64",
}
MAX_NAME_CHARACTERS: Final = 512
"""What a reader of the wire accepts."""


def is_trained(parameter: torch.Tensor, trained: Collection[int]) -> bool:
    """Whether an optimizer changes it; ``trained`` are ids of those that are frozen just now."""
    return parameter.requires_grad or id(parameter) in trained


def obstacle(name: str, held: Held, trained: Collection[int], *, spread: bool) -> str | None:
    """Why this parameter cannot be watched, in the words of the warning; None when it can.

    Args:
        name: without wrappers.
        spread: whether distributed tensors are read, each process its own shard.
    """
    parameter: Any = held.source
    unreadable = _flattened(held)
    checks = (
        (lambda: not name.isprintable() or len(name) > MAX_NAME_CHARACTERS, "unusable name"),
        (lambda: is_lazy(parameter), "not initialised yet"),
        (lambda: not is_trained(held.parameter, trained), "frozen"),
        (lambda: unreadable, unreadable),
        (lambda: parameter.device.type == "meta", "on the meta device"),
        (lambda: parameter.layout != torch.strided, "sparse"),
        (lambda: parameter.is_quantized, "quantised"),
        (lambda: parameter.dtype.is_complex, "complex"),
        (lambda: _is_subclass(held, spread=spread), "a tensor subclass"),
        (lambda: parameter.dtype not in DTYPES, f"dtype {parameter.dtype}"),
        (lambda: 0 in held.shape, "empty"),
    )
    reason = next((reason for holds, reason in checks if holds()), None)
    return reason or _misplaced(held)


def _flattened(held: Held) -> str | None:
    if held.piece is not None:
        return held.piece.unreadable
    return AROUND if is_flattened(held.source) else None


def _is_subclass(held: Held, *, spread: bool) -> bool:
    plain = held.values() if spread or held.piece is not None else held.source
    return hasattr(type(plain), "__tensor_flatten__")


def _misplaced(held: Held) -> str | None:
    try:
        held.shard(0)
    except UnreadableShardError as error:
        return f"a distributed tensor {error}"
    return None
