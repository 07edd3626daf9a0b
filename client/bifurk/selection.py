"""Which parameters of a model are watched, under which names, and which are left out and why."""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import torch
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from bifurk.adapters import product_of
from bifurk.attention_heads import Heads, heads_of
from bifurk.flat_parameters import FlatPiece
from bifurk.held import Held, held_in, parts_of
from bifurk.layout import layout_of, strip_wrappers
from bifurk.masters import Masters
from bifurk.obstacles import DTYPES, is_trained, obstacle
from bifurk.packing import WHOLE, Packing, packing_of
from bifurk.shards import Shard, local
from bifurk.sharing import Sender, shared_out
from bifurk.sketch import SMALL_TENSOR_ELEMENTS
from bifurk.wire import Placement, Product, WireLimits

NAMES_SHOWN: Final = 3
"""Per reason in the warning: a list of thousands is read by nobody."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """One watched parameter.

    Attributes:
        name: as the model names it, wrappers stripped.
        parameter: what its values are read from; weak, so that watching a model never keeps it
            alive.
        dtype: as the wire names it. layer, role: see ``bifurk.layout``.
        packing: how several projections lie in it; ``WHOLE`` when it is one although its name
            says otherwise, None when nothing speaks for several.
        product: what it makes together with another watched tensor, as an adapter's factors do.
        shape: of the whole. shard: which part of it lies here; None for all, and it is sent.
        piece: where it lies in a flat parameter; None where it lies in none.
    """

    name: str
    parameter: weakref.ref[torch.Tensor]
    shape: tuple[int, ...]
    dtype: str
    layer: int | None
    role: str
    device: torch.device
    packing: Packing | None = None
    product: Product | None = None
    shard: Shard | None = None
    piece: FlatPiece | None = None

    def held(self, parameter: torch.Tensor) -> torch.Tensor:
        """What lies here of the tensor that ``parameter`` refers to; never communicates."""
        if self.piece is not None:
            return self.piece.held(parameter)
        return parameter if self.shard is None else local(parameter)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch knows it."""
        return getattr(torch, self.dtype)  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements of the whole."""
        return math.prod(self.shape)

    @property
    def placement(self) -> Placement | None:
        """Where what lies here belongs in the whole; None where all of it lies here."""
        return None if self.shard is None else self.shard.placement

    @property
    def sent(self) -> bool:
        """Whether this process sends what lies here."""
        return self.shard is None or self.shard.sent

    @property
    def held_size(self) -> int:
        """Number of elements that lie here."""
        return self.size if self.placement is None else math.prod(self.placement.local_shape)

    @property
    def largest_size(self) -> int:
        """Number of elements of the largest shard, here or elsewhere: the same in all processes."""
        return self.size if self.shard is None else self.shard.largest

    @property
    def is_small(self) -> bool:
        """Whether it travels as exact values rather than as counts."""
        return self.size <= SMALL_TENSOR_ELEMENTS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """What is watched, in the order of the model, and what is not.

    Attributes:
        left_out: reason to names.
        misfits: what is wrong with the user's packings of tensors of other shapes; these tensors
            have none.
    """

    tensors: tuple[Watched, ...]
    left_out: Mapping[str, tuple[str, ...]]
    misfits: tuple[str, ...] = ()

    def warning(self) -> str | None:
        """One line that says what is left out and why, and what does not fit; None for neither."""
        reasons = [f"{reason}: {_listed(names)}" for reason, names in sorted(self.left_out.items())]
        parts = [f"not watched: {'; '.join(reasons)}"] if reasons else []
        return "; ".join([*parts, *self.misfits[:NAMES_SHOWN]]) or None


def select(
    model: torch.nn.Module,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
    packings: Mapping[str, str] | None = None,
    trained: Collection[int] = (),
    sender: Sender | None = None,
    masters: Masters | None = None,
) -> Selection:
    """Chooses among the model's parameters; a parameter under two names counts once.

    Args:
        model: any module, wrapped or not.
        include, exclude: globs of stripped names; what they rule out is not warned of.
        roles: glob to role, over the built-in guess. packings: glob to packing, likewise.
        trained: ids of parameters that are trained even where they are frozen now.
        sender: this process among several that each send their own part; None where this one
            sends everything.
        masters: copies that are trained, and read, in the place of the model's own.
    """
    watched: list[Watched] = []
    left_out: dict[str, list[str]] = {}
    misfits: list[str] = []
    averages = _averages(model)
    for name, held in _named(model, masters):
        if not _wanted(name, include, exclude):
            continue
        reason = obstacle(name, held, trained, spread=sender is not None)
        if reason is None and id(held.parameter) in averages:
            reason = "an average of others"
        if reason is None and len(watched) >= WireLimits().tensors:
            reason = f"beyond the first {WireLimits().tensors} tensors"
        if reason is None:
            packing = _packing(name, held.shape, heads_of(model, held.name), packings, misfits)
            product = product_of(model, held.name)
            shard = None if sender is None else held.shard(sender.rank)
            watched.append(_watch(name, held, roles, packing, product, shard))
        else:
            left_out.setdefault(reason, []).append(name)
    return Selection(
        tensors=shared_out(watched, sender=sender),
        left_out={reason: tuple(names) for reason, names in left_out.items()},
        misfits=tuple(misfits),
    )


def signature(model: torch.nn.Module, trained: Collection[int] = ()) -> tuple[object, ...]:
    """Equal as long as a selection made earlier still fits the model; cheap.

    For as long as the selected parameters live: the id of one that is gone can come again.
    """
    return tuple(
        (
            id(source),
            is_trained(parameter, trained),
            source.dtype,
            piece.shape if piece else None if is_lazy(source) else source.shape,
            source.device,
        )
        for _, parameter, source, piece in parts_of(model)
    )


def _averages(model: torch.nn.Module) -> frozenset[int]:
    """Ids of the parameters in averaged copies of weights that the model holds, as EMA does."""
    copies = (m for m in model.modules() if isinstance(m, AveragedModel) and m is not model)
    return frozenset(id(parameter) for copy in copies for parameter in copy.parameters())


def _named(model: torch.nn.Module, masters: Masters | None) -> Iterator[tuple[str, Held]]:
    """Each parameter with the name it is known by; its values from its master, where it has one."""
    seen: set[str] = set()
    for held in held_in(model):
        name = strip_wrappers(held.name)
        if name in seen:
            name = held.name
        seen.add(name)
        reference = None if masters is None else masters.get(held.parameter)
        master = None if reference is None else reference()
        yield name, held if master is None else held.read_from(master)


def _wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(name, glob) for glob in include):
        return False
    return not any(fnmatchcase(name, glob) for glob in exclude)


def _packing(
    name: str,
    shape: tuple[int, ...],
    heads: Heads,
    packings: Mapping[str, str] | None,
    misfits: list[str],
) -> Packing | None:
    try:
        packing = packing_of(name, shape, **heads._asdict(), packings=packings)
    except ValueError as error:
        misfits.append(f"packing of {name}: {error}")
        packing = None
    # A service that is told nothing would go by the name, which says more than the module.
    return WHOLE if packing is None and packing_of(name, shape) is not None else packing


def _watch(
    name: str,
    held: Held,
    roles: Mapping[str, str] | None,
    packing: Packing | None,
    product: Product | None,
    shard: Shard | None,
) -> Watched:
    layout = layout_of(name, held.shape, roles=roles)
    values = held.values()
    return Watched(
        name=name,
        parameter=weakref.ref(held.source),
        shape=held.shape,
        dtype=DTYPES[values.dtype],
        layer=layout.layer,
        role=layout.role,
        device=values.device,
        packing=packing,
        product=product,
        shard=shard,
        piece=held.piece,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
