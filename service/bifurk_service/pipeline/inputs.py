"""What a snapshot's parts tell of each tensor, beside what earlier snapshots knew of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bifurk.exact import Exact
from bifurk.packing import packing_of
from bifurk.wire import Part, TensorPart
from bifurk.wire.limits import MAX_NAME_CHARACTERS
from bifurk_service.stats.measure import TensorInput
from bifurk_service.stats.pieces import Piece, pieces_of
from bifurk_service.stats.shards import assembled, trace
from bifurk_service.stats.value import NoValue


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Earlier:
    """What an earlier snapshot knows of each tensor: traces, and full values where they came."""

    traces: Mapping[str, Exact] = field(default_factory=dict)
    full: Mapping[str, Exact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SnapshotInputs:
    """What is measured of one snapshot.

    Attributes:
        carried: what came of each tensor, by rank. whole: each tensor that came whole.
        pieces: of fused tensors. partial: why of a tensor nothing can be told.
    """

    carried: Mapping[str, Sequence[TensorPart]]
    whole: Mapping[str, TensorInput]
    pieces: Mapping[str, Piece]
    partial: Mapping[str, NoValue]

    @property
    def tensors(self) -> dict[str, TensorInput]:
        """Tensors and pieces by name."""
        return {**self.whole, **{name: piece.tensor for name, piece in self.pieces.items()}}


NOTHING = Earlier()


def inputs_of(
    parts: Sequence[Part],
    *,
    previous: Earlier = NOTHING,
    first: Mapping[str, Exact] | None = None,
    steps_since_previous: int | None = None,
) -> SnapshotInputs:
    """What to measure of one snapshot; pure.

    Args:
        parts: all that came of the snapshot. previous, first: what is known of earlier ones,
            empty at the first snapshot; ``first`` traces by tensor name. Spectra need neither.
        steps_since_previous: None without a previous one.
    """
    carried = by_name(tensor for part in parts for tensor in part.tensors)
    came = {name: assembled(them) for name, them in carried.items()}
    whole = {
        name: _input(tensor, previous, (first or {}).get(name), steps_since_previous)
        for name, tensor in came.items()
        if not isinstance(tensor, NoValue)
    }
    return SnapshotInputs(
        carried=carried,
        whole=whole,
        pieces={
            piece.name: piece
            for name, tensor in whole.items()
            for piece in _pieces(carried[name][0], tensor)
            if piece.name not in carried and len(piece.name) <= MAX_NAME_CHARACTERS
        },
        partial={name: reason for name, reason in came.items() if isinstance(reason, NoValue)},
    )


def by_name(tensors: Iterable[TensorPart]) -> dict[str, list[TensorPart]]:
    """What came of each tensor, in the order of the parts."""
    named: dict[str, list[TensorPart]] = {}
    for tensor in tensors:
        named.setdefault(tensor.name, []).append(tensor)
    return named


def _pieces(carried: TensorPart, tensor: TensorInput) -> list[Piece]:
    packing = carried.packing or packing_of(carried.name, carried.shape)
    if packing is None or not packing.pieces:
        return []
    return list(pieces_of(carried.name, tensor, packing))


def _input(
    whole: TensorPart, previous: Earlier, first: Exact | None, steps: int | None
) -> TensorInput:
    now = trace([whole])
    before = previous.full.get(whole.name)
    return TensorInput(
        shape=whole.shape,
        dtype=whole.dtype,
        counts=whole.counts,
        values=whole.values,
        full=whole.full,
        trace=now,
        previous_trace=_comparable(previous.traces.get(whole.name), now),
        previous_full=_comparable(before, whole.full),
        first_trace=_comparable(first, now),
        steps_since_previous=steps,
    )


def _comparable(other: Exact | None, now: Exact | None) -> Exact | None:
    if other is None or now is None or other.data.size != now.data.size:
        return None
    return other
