"""Why a parameter cannot be watched."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import torch
from torch.nn.parameter import is_lazy

from bifurk.shards import UnreadableShardError, is_distributed, local, shard_of

DTYPES: Final = {
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.float32: "float32",
    torch.float64: "float64",
}
MAX_NAME_CHARACTERS: Final = 512
"""What a reader of the wire accepts."""


def is_trained(parameter: torch.nn.Parameter, trained: Collection[int]) -> bool:
    """Whether an optimizer changes it; ``trained`` are ids of those that are frozen just now."""
    return parameter.requires_grad or id(parameter) in trained


def obstacle(name: str, parameter: Any, trained: Collection[int], *, spread: bool) -> str | None:
    """Why this parameter cannot be watched, in the words of the warning; None when it can.

    Args:
        spread: whether distributed tensors are read, each process its own shard.
    """
    checks = (
        (lambda: not name.isprintable() or len(name) > MAX_NAME_CHARACTERS, "unusable name"),
        (lambda: is_lazy(parameter), "not initialised yet"),
        (lambda: not is_trained(parameter, trained), "frozen"),
        (lambda: parameter.device.type == "meta", "on the meta device"),
        (lambda: parameter.layout != torch.strided, "sparse"),
        (lambda: parameter.is_quantized, "quantised"),
        (parameter.is_complex, "complex"),
        (lambda: _is_subclass(parameter, spread=spread), "a tensor subclass"),
        (lambda: parameter.dtype not in DTYPES, f"dtype {parameter.dtype}"),
        (lambda: parameter.numel() == 0, "empty"),
    )
    reason = next((reason for holds, reason in checks if holds()), None)
    return _misplaced(parameter) if reason is None and spread else reason


def _is_subclass(parameter: Any, *, spread: bool) -> bool:
    plain = local(parameter) if spread and is_distributed(parameter) else parameter
    return hasattr(type(plain), "__tensor_flatten__")


def _misplaced(parameter: Any) -> str | None:
    try:
        shard_of(parameter)
    except UnreadableShardError as error:
        return f"a distributed tensor {error}"
    return None
