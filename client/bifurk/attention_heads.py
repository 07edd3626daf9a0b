"""What the modules around a parameter say of its attention, by their public attributes."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch

_HEADS: Final = (
    "num_attention_heads_per_partition",
    "num_heads",
    "num_attention_heads",
    "n_head",
    "n_heads",
    "nhead",
    "heads",
)
_KV_HEADS: Final = (
    "num_query_groups_per_partition",
    "num_key_value_heads",
    "num_kv_heads",
    "kv_heads",
    "n_kv_heads",
    "n_kv_head",
    "n_head_kv",
    "num_query_groups",
    "n_query_groups",
)
_HEAD_DIM: Final = (
    "head_dim",
    "head_size",
    "attention_head_size",
    "hidden_size_per_attention_head",
    "dim_head",
    "d_head",
)
MOST_HEADS: Final = 1 << 16
"""Also of a head's size; what is beyond is no such number."""


class Heads(NamedTuple):
    """What ``bifurk.packing.packing_of`` asks for; None where not told.

    Attributes:
        heads: of the queries. kv_heads: of the keys, which several heads may share.
        head_dim: rows or columns a head takes.
        kinds: full names of the modules' classes, innermost first.
    """

    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    kinds: tuple[str, ...]


def heads_of(model: torch.nn.Module, parameter_name: str) -> Heads:
    """Looks from the parameter's own module outwards to the model, each with its ``config``.

    Nothing is taken from farther out than the number of heads: a whole model's configuration
    need not be that of the tower the parameter is in. Whatever a module's attributes do when
    they are read, nothing is raised.

    Args:
        model: as it is watched, wrapped or not.
        parameter_name: as ``model.named_parameters()`` has it.
    """
    chain = _chain(model, parameter_name)
    kinds = tuple(f"{type(module).__module__}.{type(module).__qualname__}" for module in chain)
    kv_heads = head_dim = None
    for module in chain:
        holders = (module, _read(module, "config"))
        heads = _first(holders, _HEADS)
        kv_heads = kv_heads or _first(holders, _KV_HEADS)
        head_dim = head_dim or _first(holders, _HEAD_DIM)
        if heads is not None:
            return Heads(heads, kv_heads, head_dim, kinds)
    return Heads(None, None, None, kinds)


def _chain(model: torch.nn.Module, parameter_name: str) -> list[Any]:
    """The modules on the way to the parameter, innermost first."""
    chain: list[Any] = [model]
    for step in parameter_name.split(".")[:-1]:
        inner = _read(chain[0], step)
        if inner is None:
            break
        chain.insert(0, inner)
    return chain


def _first(holders: tuple[Any, ...], names: tuple[str, ...]) -> int | None:
    for holder in holders:
        for name in names:
            value = _read(holder, name)
            if type(value) is int and 0 < value <= MOST_HEADS:
                return value
    return None


def _read(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property of the user's own may do anything
        return None
