"""Fused projections taken apart: the queries, keys and values of one stored tensor, say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.packing import Packing
from bifurk.sketch import SAMPLE_SIZE, SMALL_TENSOR_ELEMENTS, Sketch, sample_positions
from bifurk.wire import TensorPart
from bifurk_service.stats.measure import TensorInput
from bifurk_service.stats.pooling import counts_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """One projection of a fused tensor, to be measured like a tensor of its own.

    Attributes:
        name: the fused tensor's, with the piece in brackets. of: the fused tensor's.
        role: of ``bifurk.layout.ROLES``.
    """

    name: str
    of: str
    role: str
    tensor: TensorInput


def pieces_of(name: str, fused: TensorInput, packing: Packing) -> Iterator[Piece]:
    """The pieces of a fused tensor at a snapshot at which all its values came; none otherwise.

    Motion since the previous snapshot is of all elements where these came both times, else, as
    that since the first snapshot, of those sampled positions that lie in the piece.
    """
    whole = fused.full if fused.full is not None else fused.values
    if whole is None or whole.data.size != math.prod(fused.shape):
        return
    now = _split(whole, fused.shape, packing)
    earlier = fused.previous_full
    before = _split(earlier, fused.shape, packing) if earlier is not None else {}
    member = _membership(fused, packing)
    words = _words(list(now))
    for role, values in now.items():
        small = values.data.size <= SMALL_TENSOR_ELEMENTS
        yield Piece(
            name=f"{name}[{words[role]}]",
            of=name,
            role=role,
            tensor=TensorInput(
                shape=values.data.shape,
                dtype=fused.dtype,
                counts=None if small else _counts(values),
                values=values if small else None,
                full=values,
                trace=_part(fused.trace, member[role]),
                previous_trace=_part(fused.previous_trace, member[role]),
                previous_full=before.get(role),
                first_trace=_part(fused.first_trace, member[role]),
                steps_since_previous=fused.steps_since_previous,
            ),
        )


def _words(roles: list[str]) -> dict[str, str]:
    """By role its last word, or all of it where that is nothing or another's too."""
    last = {role: role.rpartition(".")[2] for role in roles}
    often = Counter(last.values())
    return {role: word if word and often[word] == 1 else role for role, word in last.items()}


def _counts(values: Exact) -> Sketch:
    return counts_of(
        TensorPart(name="", shape=values.data.shape, dtype=values.dtype, values=values)
    )


def _split(values: Exact, shape: tuple[int, ...], packing: Packing) -> dict[str, Exact]:
    matrix = values.data.reshape(shape[0], -1)
    return {
        role: Exact(dtype=values.dtype, data=np.ascontiguousarray(piece))
        for role, piece in packing.split(matrix)
    }


def _membership(fused: TensorInput, packing: Packing) -> Mapping[str, NDArray[np.bool_]]:
    """By role, which elements of the fused tensor's trace belong to it."""
    size = math.prod(fused.shape)
    sampled = fused.trace is not None and fused.trace.data.size == SAMPLE_SIZE < size
    positions = sample_positions(size) if sampled else np.arange(size)
    columns = size // fused.shape[0]
    along = positions // columns if packing.axis == 0 else positions % columns
    ends = np.cumsum([length for _, length in packing.pieces])
    place = np.searchsorted(ends, along % ends[-1], side="right")
    return {role: place == index for index, (role, _) in enumerate(packing.pieces)}


def _part(trace: Exact | None, member: NDArray[np.bool_]) -> Exact | None:
    if trace is None or trace.data.size != member.size:
        return None
    return Exact(dtype=trace.dtype, data=trace.data.reshape(-1)[member])
