"""Which block of a distributed tensor lies in this process, told without any communication.

A ``DTensor`` (of ``fully_shard``, of tensor parallel) knows its mesh and how it lies on it; where
its local tensor belongs in the whole follows from that by arithmetic.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch

from bifurk.wire import Placement

MODULES: Final = ("torch.distributed.tensor", "torch.distributed._tensor")
"""Where torch keeps ``DTensor``: since 2.5, and before. Imported by whoever has made one."""


class UnreadableShardError(Exception):
    """A distributed tensor of a kind that is not read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What this process holds of a tensor, and whether it is to send it.

    Attributes:
        placement: None for all of it.
        sent: False where another process sends the same, or where there is nothing to send.
        largest: elements of the largest shard that any process holds of it.
    """

    placement: Placement | None = None
    sent: bool = True
    largest: int


def is_distributed(tensor: object) -> bool:
    """Whether it is a ``DTensor``; never imports what makes them."""
    return any(
        isinstance(tensor, kind)
        for name in MODULES
        if (kind := getattr(sys.modules.get(name), "DTensor", None)) is not None
    )


def is_spread(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether any trained one of these is a distributed tensor."""
    return any(parameter.requires_grad and is_distributed(parameter) for parameter in parameters)


def shard_of(parameter: torch.Tensor, *, rank: int = 0) -> Shard:
    """What this process holds of a parameter.

    Args:
        parameter: any. rank: of this process; one that lies whole in each is sent by rank 0.

    Raises:
        UnreadableShardError: its placement is of a kind that is not read.
    """
    if not is_distributed(parameter):
        return Shard(sent=rank == 0, largest=parameter.numel())
    return _distributed(parameter)


def local(parameter: torch.Tensor) -> torch.Tensor:
    """What lies in this process, without autograd; never communicates."""
    if not is_distributed(parameter):
        return parameter
    with torch.no_grad():
        held: torch.Tensor = parameter.to_local()  # type: ignore[attr-defined]
        return held


def _distributed(parameter: Any) -> Shard:
    coordinate = parameter.device_mesh.get_coordinate()
    offset, length = [0] * parameter.dim(), list(parameter.shape)
    largest = list(parameter.shape)
    is_first = coordinate is not None
    for axis, placement in enumerate(parameter.placements):
        here = 0 if coordinate is None else coordinate[axis]
        if placement.is_replicate():
            is_first = is_first and here == 0
            continue
        dim = _sharded_axis(placement) % parameter.dim()
        count = parameter.device_mesh.size(axis)
        start, length[dim] = _chunk(length[dim], here, count)
        offset[dim] += start
        largest[dim] = -(-largest[dim] // count)
    shape = tuple(length)
    if coordinate is not None and tuple(local(parameter).shape) != shape:
        raise UnreadableShardError(
            f"a shard of {tuple(local(parameter).shape)} where {shape} was expected"
        )
    is_whole = shape == tuple(parameter.shape)
    return Shard(
        placement=None if is_whole else Placement(offset=tuple(offset), local_shape=shape),
        sent=is_first and 0 not in shape,
        largest=math.prod(largest),
    )


def _chunk(length: int, index: int, count: int) -> tuple[int, int]:
    """Start and length of one of ``count`` chunks, as ``torch.chunk`` cuts: the last are short."""
    size = -(-length // count)
    start = min(index * size, length)
    return start, min(start + size, length) - start


def _sharded_axis(placement: Any) -> int:
    # A strided shard is one as well, and its rows are not one block.
    if type(placement).__name__ != "Shard":
        raise UnreadableShardError(f"placed as {type(placement).__name__}")
    dim: int = placement.dim
    return dim
