"""Parts to statistics: what a worker process does. It returns values and writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from bifurk.exact import Exact
from bifurk.packing import packing_of
from bifurk.wire import Part, TensorPart, WireError, WireLimits, decode, encode, strip_full
from bifurk.wire.limits import MAX_NAME_CHARACTERS
from bifurk_service.stats.measure import Measured, TensorInput, as_table, measure_tensors
from bifurk_service.stats.pieces import Piece, pieces_of
from bifurk_service.stats.products import MeasuredProduct, products_of
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.shards import assembled, full_values, trace
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.stats.value import NoValue, Value
from bifurk_service.store.blobs import open_blobs

log = logging.getLogger("bifurk.service")

STORED_PARTS: Final = WireLimits(decoded_bytes=1 << 40, header_bytes=1 << 40, tensors=1 << 40)
"""What was taken in under the limits of its time is read whatever they are now."""
TRACE_CACHE_PARTS: Final = 8
"""First parts whose traces a worker keeps: those of a few attempts at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Where a part's bytes lie and how they are packed.

    ``fallback`` is the same part without its full values, should this one be gone already.
    """

    key: str
    encoding: str
    fallback: BlobRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureJob:
    """All that a worker needs: references, not bytes.

    Attributes:
        parts: of the snapshot, by rank. previous, first: of the snapshots to compare with.
        steps_since_previous: at least 1, or None without a previous snapshot.
        plan: which spectra come first, and how long they may take.
    """

    snapshot_id: int
    blob_url: str
    parts: tuple[BlobRef, ...]
    previous: tuple[BlobRef, ...]
    first: tuple[BlobRef, ...]
    steps_since_previous: int | None
    plan: SpectraPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceInfo:
    """A piece of a fused tensor, or a product, as it is stored: of what, its role and shape."""

    of: str
    role: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasureOutcome:
    """What a worker gives back.

    Attributes:
        measured: statistics and spectra of all tensors and pieces.
        pieces: by name, those of the measured that are pieces of fused tensors, or products.
        stripped: by blob key, the parts without the full values they carried.
    """

    snapshot_id: int
    measured: Measured
    pieces: Mapping[str, PieceInfo]
    stripped: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Earlier:
    """What an earlier snapshot knows of each tensor: traces, and full values where they came."""

    traces: Mapping[str, Exact] = field(default_factory=dict)
    full: Mapping[str, Exact] = field(default_factory=dict)


def run_job(job: MeasureJob) -> MeasureOutcome:
    """Reads the blobs and measures; runs in a worker process.

    Raises:
        FileNotFoundError: a blob of the snapshot is gone.
    """
    parts = [_read(job.blob_url, ref) for ref in job.parts]
    measured, pieces = measure(
        parts,
        previous=_previous(job.blob_url, job.previous),
        first=_first(job.blob_url, job.first),
        steps_since_previous=job.steps_since_previous,
        plan=job.plan,
    )
    return MeasureOutcome(
        snapshot_id=job.snapshot_id,
        measured=measured,
        pieces=pieces,
        stripped={
            ref.key: encode(strip_full(part))
            for ref, part in zip(job.parts, parts, strict=True)
            if any(tensor.full is not None for tensor in part.tensors)
        },
    )


def measure(
    parts: Sequence[Part],
    *,
    previous: Earlier,
    first: Mapping[str, Exact],
    steps_since_previous: int | None,
    plan: SpectraPlan,
) -> tuple[Measured, dict[str, PieceInfo]]:
    """Statistics of every tensor of one snapshot, and which of them are pieces; pure.

    Args:
        parts: all that came of the snapshot. previous, first: what is known of earlier ones,
            empty at the first snapshot; ``first`` traces by tensor name.
        steps_since_previous: None without a previous one. plan: for the spectra.
    """
    carried = _by_name(tensor for part in parts for tensor in part.tensors)
    came = {name: assembled(them) for name, them in carried.items()}
    partial = {name: reason for name, reason in came.items() if isinstance(reason, NoValue)}
    inputs = {
        name: _input(tensor, previous, first.get(name), steps_since_previous)
        for name, tensor in came.items()
        if not isinstance(tensor, NoValue)
    }
    pieces = {
        piece.name: piece
        for name, tensor in inputs.items()
        for piece in _pieces(carried[name][0], tensor)
        if piece.name not in carried and len(piece.name) <= MAX_NAME_CHARACTERS
    }
    products = _products(carried, inputs, taken={*carried, *pieces})
    whole = measure_tensors(
        inputs | {name: piece.tensor for name, piece in pieces.items()}, plan=plan
    )
    told = {
        name: PieceInfo(of=piece.of, role=piece.role, shape=piece.tensor.shape)
        for name, piece in pieces.items()
    } | {
        product.name: PieceInfo(
            of=product.of, role=carried[product.of][0].role, shape=product.shape
        )
        for product in products
    }
    return _with_partial(_with_products(whole, products), partial), told


def _by_name(tensors: Iterable[TensorPart]) -> dict[str, list[TensorPart]]:
    named: dict[str, list[TensorPart]] = {}
    for tensor in tensors:
        named.setdefault(tensor.name, []).append(tensor)
    return named


def _with_partial(measured: Measured, partial: Mapping[str, NoValue]) -> Measured:
    if not partial:
        return measured
    none: dict[str, dict[str, Value]] = {
        name: {s.name: reason for s in STATISTICS} for name, reason in partial.items()
    }
    return Measured(
        tensors=measured.tensors.followed_by(as_table(none)),
        spectra=measured.spectra,
        skipped=measured.skipped,
    )


def _pieces(carried: TensorPart, tensor: TensorInput) -> list[Piece]:
    packing = carried.packing or packing_of(carried.name, carried.shape)
    if packing is None or not packing.pieces:
        return []
    return list(pieces_of(carried.name, tensor, packing))


def _products(
    carried: Mapping[str, list[TensorPart]],
    inputs: Mapping[str, TensorInput],
    *,
    taken: Collection[str],
) -> list[MeasuredProduct]:
    told = {name: them[0].product for name, them in carried.items() if them[0].product is not None}
    return [
        product
        for product in products_of(told, inputs)
        if product.name not in taken and len(product.name) <= MAX_NAME_CHARACTERS
    ]


def _with_products(measured: Measured, products: Sequence[MeasuredProduct]) -> Measured:
    if not products:
        return measured
    spectra = {
        product.name: product.spectrum
        for product in products
        if not isinstance(product.spectrum, NoValue)
    }
    return Measured(
        tensors=measured.tensors.followed_by(as_table({p.name: p.values for p in products})),
        spectra={**measured.spectra, **spectra},
        skipped=measured.skipped,
    )


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


def _read(blob_url: str, ref: BlobRef) -> Part:
    try:
        blob = open_blobs(blob_url).get(ref.key)
    except FileNotFoundError:
        if ref.fallback is None:
            raise
        return _read(blob_url, ref.fallback)
    return decode(blob, encoding=ref.encoding, limits=STORED_PARTS)


def _previous(blob_url: str, refs: tuple[BlobRef, ...]) -> Earlier:
    """An earlier part that cannot be read is no earlier value, and no reason to measure nothing."""
    tensors: list[TensorPart] = []
    for ref in refs:
        tensors.extend(_tensors_of(blob_url, ref))
    named = _by_name(tensors)
    full = {name: full_values(them) for name, them in named.items()}
    return Earlier(
        traces=_traces(named),
        full={name: values for name, values in full.items() if values is not None},
    )


def _tensors_of(blob_url: str, ref: BlobRef) -> tuple[TensorPart, ...]:
    try:
        return _read(blob_url, ref).tensors
    except (OSError, WireError):
        log.warning("the earlier part %s cannot be read", ref.key)
    return () if ref.fallback is None else _tensors_of(blob_url, ref.fallback)


def _first(blob_url: str, refs: tuple[BlobRef, ...]) -> dict[str, Exact]:
    """The traces of the attempt's first snapshot, kept by the worker from one job to the next."""
    tensors: list[TensorPart] = []
    for ref in refs:
        try:
            tensors.extend(_traced(blob_url, ref))
        except (OSError, WireError):
            log.warning("the first part %s cannot be read", ref.key)
    return _traces(_by_name(tensors))


@lru_cache(maxsize=TRACE_CACHE_PARTS)
def _traced(blob_url: str, ref: BlobRef) -> tuple[TensorPart, ...]:
    """A part's tensors with nothing but their traces, in memory of their own."""
    return tuple(
        replace(
            tensor,
            counts=None,
            full=None,
            values=_copied(tensor.values),
            sample=_copied(tensor.sample),
        )
        for tensor in _read(blob_url, ref).tensors
    )


def _copied(values: Exact | None) -> Exact | None:
    return None if values is None else Exact(dtype=values.dtype, data=values.data.copy())


def _traces(named: Mapping[str, Sequence[TensorPart]]) -> dict[str, Exact]:
    traces = {name: trace(them) for name, them in named.items()}
    return {name: one for name, one in traces.items() if one is not None}
