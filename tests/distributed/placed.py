"""Distributed tensors of several ranks in one process: one at a time, over no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard as Strided
from torch.testing._internal.distributed.fake_pg import FakeStore

import bifurk
from bifurk.testing import InMemoryTransport
from bifurk.wire import TensorPart


@dataclass(frozen=True)
class Layout:
    """Shape of a mesh, and how each parameter lies on it; others lie whole on every rank."""

    mesh: tuple[int, ...]
    placements: Mapping[str, Sequence[Any]]

    @property
    def ranks(self) -> int:
        ranks = 1
        for length in self.mesh:
            ranks *= length
        return ranks


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    dist.init_process_group("fake", rank=rank, world_size=ranks, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def sharded(whole: nn.Module, layout: Layout) -> nn.Module:
    """The part of a model that this rank holds, as torch itself cuts it."""
    # torch keeps meshes by value, and would take an earlier rank's for this one.
    names = tuple(f"rank{dist.get_rank()}_{axis}" for axis in range(len(layout.mesh)))
    mesh = init_device_mesh("cpu", layout.mesh, mesh_dim_names=names)
    held = nn.Module()
    for name, parameter in whole.named_parameters():
        placements = layout.placements.get(name)
        here = parameter.detach()
        if placements is not None:
            here = _distributed(here, mesh, placements)
        held.register_parameter(name, nn.Parameter(here))
    return held


def sent(
    model: nn.Module, *, trained: Sequence[torch.Tensor] | None = None, **settings: Any
) -> tuple[TensorPart, ...]:
    """What this rank's client posts of a model before the first step, full values included."""
    transport = InMemoryTransport()
    optimizer = torch.optim.SGD(model.parameters() if trained is None else trained, lr=0.1)
    with bifurk.watch(
        model, optimizer, run="placed", attempt="first", payload="full", transport=transport,
        **settings,
    ):  # fmt: skip
        optimizer.step()
    return transport.parts()[0].tensors


def _distributed(whole: torch.Tensor, mesh: Any, placements: Sequence[Any]) -> DTensor:
    held = whole
    # What is strided is cut last, and from the right: so says torch's own description of it.
    cuts = [(a, p) for a, p in enumerate(placements) if not isinstance(p, Strided)]
    cuts += [(a, p) for a, p in reversed(list(enumerate(placements))) if isinstance(p, Strided)]
    for axis, placement in cuts:
        if isinstance(placement, Shard | Strided):
            chunks = torch.chunk(held, mesh.size(axis), dim=placement.dim)
            here = mesh.get_local_rank(axis)
            empty = held.narrow(placement.dim, 0, 0)
            held = chunks[here] if here < len(chunks) else empty
        else:
            assert isinstance(placement, Replicate)
    return DTensor.from_local(
        held, mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )
