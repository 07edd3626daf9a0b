"""Parts to statistics: what a worker process does. It returns values and writes nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import Sketch, merge, sketch, sketch_bits
from bifurk.wire import Part, TensorPart, WireError, WireLimits, decode, encode, strip_full
from bifurk_service.stats.measure import TensorInput, measure_tensor
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.table import MeasuredTensors
from bifurk_service.stats.value import NoValue, Value
from bifurk_service.store.blobs import open_blobs

log = logging.getLogger("bifurk.service")

STORED_PARTS: Final = WireLimits(decoded_bytes=1 << 40, header_bytes=1 << 40, tensors=1 << 40)
"""What was taken in under the limits of its time is read whatever they are now."""
TRACE_CACHE_PARTS: Final = 8
"""Parts whose traces a worker keeps: the previous and the first of a few attempts at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Where a part's bytes lie and how they are packed."""

    key: str
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureJob:
    """All that a worker needs: references, not bytes.

    Attributes:
        parts: of the snapshot, by rank. previous, first: of the snapshots to compare with.
        steps_since_previous: at least 1, or None without a previous snapshot.
    """

    snapshot_id: int
    blob_url: str
    parts: tuple[BlobRef, ...]
    previous: tuple[BlobRef, ...]
    first: tuple[BlobRef, ...]
    steps_since_previous: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasureOutcome:
    """Statistics of a snapshot, and by blob key its parts without the full values they carried."""

    snapshot_id: int
    measured: MeasuredTensors
    stripped: Mapping[str, bytes]


def run_job(job: MeasureJob) -> MeasureOutcome:
    """Reads the blobs and measures; runs in a worker process.

    Raises:
        FileNotFoundError: a blob of the snapshot is gone.
    """
    parts = [_read(job.blob_url, ref) for ref in job.parts]
    measured = measure(
        parts,
        previous=_traces(job.blob_url, job.previous),
        first=_traces(job.blob_url, job.first),
        steps_since_previous=job.steps_since_previous,
    )
    return MeasureOutcome(
        snapshot_id=job.snapshot_id,
        measured=measured,
        stripped={
            ref.key: encode(strip_full(part))
            for ref, part in zip(job.parts, parts, strict=True)
            if any(tensor.full is not None for tensor in part.tensors)
        },
    )


def measure(
    parts: Sequence[Part],
    *,
    previous: Mapping[str, Exact],
    first: Mapping[str, Exact],
    steps_since_previous: int | None,
) -> MeasuredTensors:
    """Statistics of every tensor of one snapshot; pure.

    Args:
        parts: all that came of the snapshot. previous, first: traces by tensor name, empty at
            the first snapshot. steps_since_previous: None without a previous one.
    """
    carried: dict[str, list[TensorPart]] = {}
    for part in parts:
        for tensor in part.tensors:
            carried.setdefault(tensor.name, []).append(tensor)
    results = [
        _partial(pieces)
        or measure_tensor(_input(pieces, previous.get(name), first.get(name), steps_since_previous))
        for name, pieces in carried.items()
    ]
    return MeasuredTensors(
        names=list(carried),
        values=np.array(
            [[_number(result[s.name]) for s in STATISTICS] for result in results],
            dtype=np.float64,
        ).reshape(len(results), len(STATISTICS)),
        reasons=[
            {name: value.reason for name, value in result.items() if isinstance(value, NoValue)}
            for result in results
        ],
    )


def _partial(pieces: list[TensorPart]) -> dict[str, Value]:
    """A tensor of which not all shards came has no value; one that is whole has nothing to say."""
    came = sum(math.prod(piece.local_shape) for piece in pieces)
    if came == pieces[0].size:
        return {}
    reason = NoValue(f"{came} of {pieces[0].size} elements came")
    return {statistic.name: reason for statistic in STATISTICS}


def _input(
    pieces: list[TensorPart], previous: Exact | None, first: Exact | None, steps: int | None
) -> TensorInput:
    """Whole tensors pass through; of a sharded one only the counts can be added up."""
    whole = pieces[0]
    if len(pieces) > 1:
        counts = merge(_counts(piece) for piece in pieces)
        whole = TensorPart(name=whole.name, shape=whole.shape, dtype=whole.dtype, counts=counts)
    trace = trace_of(whole)
    return TensorInput(
        shape=whole.shape,
        dtype=whole.dtype,
        counts=whole.counts,
        values=whole.values,
        full=whole.full,
        trace=trace,
        previous_trace=_comparable(previous, trace),
        first_trace=_comparable(first, trace),
        steps_since_previous=steps,
    )


def _counts(piece: TensorPart) -> Sketch:
    if piece.counts is not None:
        return piece.counts
    assert piece.values is not None, "a part carries counts or values of every tensor"
    if piece.values.dtype == "bfloat16":
        return sketch_bits(piece.values.data.astype(np.uint16, copy=False), "bf16")
    return sketch(cast("NDArray[np.floating]", piece.values.data))


def trace_of(tensor: TensorPart) -> Exact | None:
    """The exact values whose identity is kept over time: all of a small tensor, else the sample."""
    return tensor.values if tensor.values is not None else tensor.sample


def _comparable(other: Exact | None, trace: Exact | None) -> Exact | None:
    if other is None or trace is None or other.data.size != trace.data.size:
        return None
    return other


def _number(value: Value) -> float:
    return np.nan if isinstance(value, NoValue) else value


def _read(blob_url: str, ref: BlobRef) -> Part:
    return decode(open_blobs(blob_url).get(ref.key), encoding=ref.encoding, limits=STORED_PARTS)


def _traces(blob_url: str, refs: tuple[BlobRef, ...]) -> dict[str, Exact]:
    """An earlier part that cannot be read is no earlier value, and no reason to measure nothing."""
    traces: dict[str, Exact] = {}
    for ref in refs:
        try:
            traces.update(_part_traces(blob_url, ref))
        except (OSError, WireError):
            log.warning("the earlier part %s cannot be read", ref.key)
    return traces


@lru_cache(maxsize=TRACE_CACHE_PARTS)
def _part_traces(blob_url: str, ref: BlobRef) -> dict[str, Exact]:
    part = _read(blob_url, ref)
    traces = {tensor.name: trace_of(tensor) for tensor in part.tensors}
    return {
        name: Exact(dtype=trace.dtype, data=trace.data.copy())
        for name, trace in traces.items()
        if trace is not None
    }
