"""Which rank sends which of the tensors that all of them hold, told by each for itself."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bifurk.selection import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A process among several that each send their own part.

    Attributes:
        rank: its own. sharing: how many share the sending of what all of them hold; with one,
            rank 0 sends it.
    """

    rank: int
    sharing: int = 1


def senders(sizes: Sequence[int], *, ranks: int) -> list[int]:
    """The rank that sends each tensor: the largest first, each to whom has least to send.

    The same in every process that has the same sizes in the same order.

    >>> senders([10, 60, 50, 20], ranks=2)
    [0, 0, 1, 1]

    Args:
        sizes: elements of each tensor. ranks: how many share them, at least 1.
    """
    loads = [(0, rank) for rank in range(ranks)]
    chosen = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        load, rank = loads[0]
        chosen[index] = rank
        heapq.heapreplace(loads, (load + sizes[index], rank))
    return chosen


def shared_out(tensors: Sequence[Watched], *, sender: Sender | None) -> tuple[Watched, ...]:
    """The same tensors, those that lie everywhere each sent by one rank, and not all by the first.

    Args:
        sender: this process; None where it is the only one.
    """
    if sender is None:
        return tuple(tensors)
    everywhere = [
        index
        for index, tensor in enumerate(tensors)
        if tensor.shard is not None and tensor.shard.everywhere
    ]
    chosen = senders([tensors[index].size for index in everywhere], ranks=sender.sharing)
    shared = list(tensors)
    for index, rank in zip(everywhere, chosen, strict=True):
        shard = shared[index].shard
        assert shard is not None
        shared[index] = replace(shared[index], shard=replace(shard, sent=rank == sender.rank))
    return tuple(shared)
