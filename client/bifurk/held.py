"""The parameters of a model under its own names, whatever a wrapper has put in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch

from bifurk.flat_parameters import FlatPiece, Pieces, flat_pieces
from bifurk.shards import Shard, is_distributed, local, shard_of

Part: TypeAlias = tuple[str, torch.Tensor, torch.Tensor, FlatPiece | None]
"""Name, parameter, source and piece, as in ``Held``."""

STAND_INS: Final = ("_unsharded_param", "_sharded_post_forward_param")
"""What ``fully_shard`` shows in the place of a sharded parameter while it is gathered."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """One parameter of a model, and what of it this process holds.

    Attributes:
        name: as the model has it, wrappers included.
        parameter: what an optimizer trains.
        source: what its values are read from: the parameter itself, or the flat one it lies in.
        piece: where in the flat one; None where it lies in none.
    """

    name: str
    parameter: torch.Tensor
    source: torch.Tensor
    piece: FlatPiece | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole parameter."""
        return tuple(self.parameter.shape) if self.piece is None else self.piece.shape

    @property
    def is_spread(self) -> bool:
        """Whether several processes hold different parts of it, or tell how they hold it."""
        return is_distributed(self.source) if self.piece is None else self.piece.cut

    def values(self) -> torch.Tensor:
        """What lies in this process, without autograd; never communicates."""
        return local(self.source) if self.piece is None else self.piece.held(self.source)

    def read_from(self, copy: torch.Tensor) -> Held:
        """The same, its values read from a copy of what lies in this process."""
        piece = None if self.piece is None else replace(self.piece, flat=copy, offset=0)
        return replace(self, source=copy, piece=piece)

    def shard(self, rank: int) -> Shard:
        """What of the whole that is, and whether this process, of this rank, sends it.

        Raises:
            UnreadableShardError: its placement is of a kind that is not read.
        """
        piece = self.piece
        if piece is None:
            return shard_of(self.source, rank=rank)
        return Shard(
            placement=piece.placement,
            sent=piece.is_first and piece.length > 0,
            largest=piece.largest,
            everywhere=not piece.cut,
        )


def held_in(model: torch.nn.Module) -> Iterator[Held]:
    """Every parameter once, in the order of the model; one under two names has its first."""
    for name, parameter, source, piece in parts_of(model):
        yield Held(name=name, parameter=parameter, source=source, piece=piece)


def parts_of(model: torch.nn.Module) -> Iterator[Part]:
    """The same as plain tuples of the fields of ``Held``: cheap enough for every snapshot."""
    pieces = flat_pieces(model)
    if pieces:
        yield from _beside_flat(model, pieces)
        return
    sharded = _sharded_behind(model)
    for name, shown in model.named_parameters():
        parameter = sharded.get(id(shown), shown) if sharded else shown
        yield name, parameter, parameter, None


def is_spread(model: torch.nn.Module) -> bool:
    """Whether processes hold different parts of anything that is trained."""
    return any(one.parameter.requires_grad and one.is_spread for one in held_in(model))


def _beside_flat(model: torch.nn.Module, pieces: Pieces) -> Iterator[Part]:
    flattened = [piece for own in pieces.values() for piece in own.values()]
    seen = {id(one) for piece in flattened for one in (piece.parameter, piece.flat)}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        plain = dict(module.named_parameters(recurse=False))
        own = pieces.get(id(module), {})
        for name in dict.fromkeys([*plain, *own]):
            piece = own.get(name)
            if piece is not None:
                yield f"{prefix}{name}", piece.parameter, piece.flat, piece
            elif id(plain[name]) not in seen:
                seen.add(id(plain[name]))
                yield f"{prefix}{name}", plain[name], plain[name], None


def _sharded_behind(model: torch.nn.Module) -> dict[int, torch.Tensor]:
    """By id of what ``fully_shard`` shows now the sharded parameter that is trained.

    What it shows is gathered, and after a step older than what was trained.
    """
    return {
        id(shown): one.sharded_param
        for module in model.modules()
        # The class has had three names so far, in two places.
        if hasattr(type(module), "_get_fsdp_state")
        for one in _managed(module)
        for stand_in in STAND_INS
        if (shown := getattr(one, stand_in, None)) is not None
    }


def _managed(module: Any) -> list[Any]:
    try:
        state = module._get_fsdp_state()  # noqa: SLF001 - torch has no public way to it
        groups = getattr(state, "_fsdp_param_groups", None) or [state._fsdp_param_group]  # noqa: SLF001
        return [one for group in groups if group is not None for one in group.fsdp_params]
    except (AttributeError, AssertionError, ValueError):
        return []
