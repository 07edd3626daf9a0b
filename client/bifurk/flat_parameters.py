"""Where original parameters lie in the flat ones of ``FullyShardedDataParallel``.

It lays the parameters of a module end to end, cuts that row into equal shares, and each process
keeps one: of a parameter a range of its elements, in row-major order. Torch keeps a table of these
ranges, which nothing public tells; it is read here and nowhere else, and where it is not found the
parameters count as unreadable. Nothing is gathered.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch

from bifurk.wire import Placement

MODULE: Final = "torch.distributed.fsdp"
UNTOLD: Final = "in a flat parameter whose parts this version of torch does not tell"
DISTRIBUTED: Final = "a distributed tensor inside a flat parameter"
SCATTERED: Final = "in a flat parameter, and not contiguous"
AROUND: Final = "in a flat parameter of the FullyShardedDataParallel around it: watch that"


_Place: TypeAlias = "tuple[torch.nn.Module, str, FlatPiece]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlatPiece:
    """An original parameter inside a flat one.

    Attributes:
        parameter: what an optimizer trains: the original, or the flat one.
        flat: the flat one. shape: of the original.
        start, length: which of its elements lie here, in row-major order.
        offset: where these begin in this process's share of the flat one.
        cut: whether processes share the flat one at all.
        is_first: whether this process is the first of those that hold the same.
        largest: elements that no process holds more of.
        unreadable: why it cannot be read; None where it can.
    """

    parameter: torch.Tensor
    flat: torch.Tensor
    shape: tuple[int, ...]
    start: int = 0
    length: int = 0
    offset: int = 0
    cut: bool = True
    is_first: bool = True
    largest: int = 0
    unreadable: str | None = None

    @property
    def placement(self) -> Placement | None:
        """The range of the original that lies here; None for all of it."""
        if self.length == math.prod(self.shape):
            return None
        return Placement(offset=(self.start,), local_shape=(self.length,))

    def held(self, flat: torch.Tensor) -> torch.Tensor:
        """What lies here, flat, in the precision that is trained; shares memory."""
        # Between a forward pass and the backward one the flat parameter itself shows something
        # else: everything, gathered, perhaps in low precision.
        share: torch.Tensor = getattr(flat, "_local_shard", flat)
        return share.detach().reshape(-1)[self.offset : self.offset + self.length]


def is_flattened(parameter: torch.Tensor) -> bool:
    """Whether it lies in a flat parameter, which may be that of a module around the model."""
    return bool(getattr(parameter, "_fsdp_flattened", False))


Pieces: TypeAlias = dict[int, dict[str, FlatPiece]]
"""By id of the module that an original parameter belongs to, and its name there."""


def flat_pieces(model: torch.nn.Module) -> Pieces:
    """Every original parameter that lies in a flat one."""
    kind = getattr(sys.modules.get(MODULE), "FullyShardedDataParallel", None)
    if kind is None:
        return {}
    found: Pieces = {}
    for module in model.modules():
        if isinstance(module, kind):
            for owner, name, piece in _readable(module):
                found.setdefault(id(owner), {})[name] = piece
    return found


def _readable(module: torch.nn.Module) -> list[_Place]:
    try:
        return list(_pieces(module))
    except (AttributeError, TypeError, ValueError):
        return list(_untold(module))


def _pieces(module: Any) -> Iterator[_Place]:
    handle = module._handle  # noqa: SLF001 - as all of torch's that follows
    if handle is None:
        return
    flat = handle.flat_param
    originals = flat._params or [flat] * len(flat._param_infos)  # noqa: SLF001
    cut = handle.uses_sharded_strategy
    replicas = getattr(module, "_inter_node_pg", None) if cut else module.process_group
    is_first = replicas is None or replicas.rank() == 0
    share = flat._sharded_size.numel()  # noqa: SLF001
    told = zip(
        flat._param_infos,  # noqa: SLF001
        originals,
        flat._shapes,  # noqa: SLF001
        flat._shard_param_infos,  # noqa: SLF001
        getattr(flat, "_contiguities", None) or [True] * len(originals),
        getattr(flat, "_param_extensions", None) or [None] * len(originals),
        strict=True,
    )
    for info, original, shape, here, contiguous, extension in told:
        piece = FlatPiece(
            parameter=original,
            flat=flat,
            shape=tuple(shape),
            start=here.intra_param_start_idx or 0,
            length=here.numel_in_shard or 0,
            offset=here.offset_in_shard or 0,
            cut=cut,
            is_first=is_first,
            largest=min(share, shape.numel()),
            unreadable=_obstacle(contiguous=contiguous, extension=extension),
        )
        yield info.module, info.param_name, piece


def _obstacle(*, contiguous: bool, extension: object) -> str | None:
    if extension is not None:
        return DISTRIBUTED
    return None if contiguous else SCATTERED


def _untold(root: torch.nn.Module) -> Iterator[_Place]:
    """All parameters below a module: any may be a part of what cannot be told."""
    for module in root.modules():
        for name, parameter in module.named_parameters(recurse=False):
            shape = tuple(parameter.shape)
            piece = FlatPiece(parameter=parameter, flat=parameter, shape=shape, unreadable=UNTOLD)
            yield module, name, piece
