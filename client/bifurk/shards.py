"""Which block of a distributed tensor lies in this process, told without any communication.

A ``DTensor`` (of ``fully_shard``, of tensor parallel) knows its mesh and how it lies on it; where
its local tensor belongs in the whole follows from that by arithmetic.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, Final

import torch

from bifurk.wire import Placement

MODULES: Final = ("torch.distributed.tensor", "torch.distributed._tensor")
"""Where torch keeps ``DTensor``: since 2.5, and before. Imported by whoever has made one."""
BEFORE_STRIDES: Final = "torch.distributed._tensor"
"""Where the class was defined as long as there were no strided shards."""


class UnreadableShardError(Exception):
    """A distributed tensor of a kind that is not read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What this process holds of a tensor, and whether it is to send it.

    Attributes:
        placement: None for all of it.
        sent: False where another process sends the same, or where there is nothing to send.
        largest: elements that no process holds more of.
        everywhere: whether every process holds all of it.
    """

    placement: Placement | None = None
    sent: bool = True
    largest: int
    everywhere: bool = False


def is_distributed(tensor: object) -> bool:
    """Whether it is a ``DTensor``; never imports what makes them."""
    return any(
        isinstance(tensor, kind)
        for name in MODULES
        if (kind := getattr(sys.modules.get(name), "DTensor", None)) is not None
    )


def shard_of(parameter: torch.Tensor, *, rank: int = 0) -> Shard:
    """What this process holds of a parameter.

    Args:
        parameter: any. rank: of this process; one that lies whole in each is sent by rank 0.

    Raises:
        UnreadableShardError: its placement is of a kind that is not read.
    """
    if not is_distributed(parameter):
        return Shard(sent=rank == 0, largest=parameter.numel(), everywhere=True)
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
    here = coordinate or [0] * len(parameter.placements)
    is_first = coordinate is not None and not any(
        here[axis] for axis, one in enumerate(parameter.placements) if one.is_replicate()
    )
    for axis, dim in _cuts(parameter):
        count = parameter.device_mesh.size(axis)
        start, length[dim] = _chunk(length[dim], here[axis], count)
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


def _cuts(parameter: Any) -> list[tuple[int, int]]:
    """Along which axis of the mesh each dimension of the tensor is cut, in the order of cutting.

    From left to right, but for strided shards: these say that the axes to their right were cut
    before, as ``fully_shard`` over tensor parallel does. Only then is what they leave one block.
    """
    plain: list[tuple[int, int]] = []
    strided: list[tuple[int, int]] = []
    cut_later = [1] * parameter.dim()
    for axis, placement in reversed(list(enumerate(parameter.placements))):
        kind = type(placement).__name__
        if placement.is_replicate():
            continue
        if kind not in ("Shard", "_StridedShard"):
            raise UnreadableShardError(f"placed as {kind}")
        dim = placement.dim % parameter.dim()
        if cut_later[dim] > 1 and not _tells_order(parameter):
            raise UnreadableShardError("cut twice along one axis: this torch tells no order")
        if kind == "Shard":
            plain.insert(0, (axis, dim))
        elif placement.split_factor == cut_later[dim]:
            strided.append((axis, dim))
        else:
            raise UnreadableShardError("strided over rows that are no block")
        cut_later[dim] *= parameter.device_mesh.size(axis)
    return [*plain, *strided]


def _tells_order(parameter: torch.Tensor) -> bool:
    """Whether strided shards say so; before, ``fully_shard`` over tensor parallel said nothing."""
    return not type(parameter).__module__.startswith(BEFORE_STRIDES)
