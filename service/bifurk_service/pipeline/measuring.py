"""Parts to statistics: what a worker process does. It returns values and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bifurk.wire import Part, encode, strip_full
from bifurk.wire.limits import MAX_NAME_CHARACTERS
from bifurk_service.pipeline.inputs import SnapshotInputs, inputs_of
from bifurk_service.pipeline.reading import BlobRef, read_first, read_parts, read_previous
from bifurk_service.stats.measure import (
    Measured,
    MeasuredSpectra,
    as_table,
    measure_rows,
    measure_spectra,
    put_together,
)
from bifurk_service.stats.products import MeasuredProduct, products_of
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.stats.value import NoValue, Value


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
class Described:
    """All that is measured of a snapshot but its spectra, those of products among it.

    Attributes:
        rows: statistics by tensor, of pieces too. partial: why there are none of a tensor.
        products: of two tensors. pieces, stripped: see ``MeasureOutcome``.
    """

    snapshot_id: int
    rows: Mapping[str, Mapping[str, Value]]
    partial: Mapping[str, NoValue]
    products: Sequence[MeasuredProduct]
    pieces: Mapping[str, PieceInfo]
    stripped: Mapping[str, bytes]


def run_job(job: MeasureJob) -> MeasureOutcome:
    """Reads the blobs and measures; runs in a worker process.

    Raises:
        FileNotFoundError: a blob of the snapshot is gone.
        StorageError: the blobs cannot be reached.
    """
    return measure_parts(job, read_parts(job.blob_url, job.parts))


def measure_parts(job: MeasureJob, parts: Sequence[Part]) -> MeasureOutcome:
    """Everything of a snapshot whose parts are read already."""
    inputs = inputs_beside_earlier(job, parts)
    described = describe(job, parts, inputs)
    return finished(described, [measure_spectra(inputs.tensors, job.plan)])


def inputs_beside_earlier(job: MeasureJob, parts: Sequence[Part]) -> SnapshotInputs:
    """What to measure, with what is known of the snapshots to compare with."""
    return inputs_of(
        parts,
        previous=read_previous(job.blob_url, job.previous),
        first=read_first(job.blob_url, job.first),
        steps_since_previous=job.steps_since_previous,
    )


def describe(job: MeasureJob, parts: Sequence[Part], inputs: SnapshotInputs) -> Described:
    """Everything but the spectra."""
    products = _products(inputs)
    return Described(
        snapshot_id=job.snapshot_id,
        rows=measure_rows(inputs.tensors),
        partial=inputs.partial,
        products=products,
        pieces={
            name: PieceInfo(of=piece.of, role=piece.role, shape=piece.tensor.shape)
            for name, piece in inputs.pieces.items()
        }
        | {
            product.name: PieceInfo(
                of=product.of, role=inputs.carried[product.of][0].role, shape=product.shape
            )
            for product in products
        },
        stripped={
            ref.key: encode(strip_full(part))
            for ref, part in zip(job.parts, parts, strict=True)
            if any(tensor.full is not None for tensor in part.tensors)
        },
    )


def finished(described: Described, spectra: Iterable[MeasuredSpectra]) -> MeasureOutcome:
    """Both halves together.

    Args:
        spectra: in the order of the plan, together of every tensor and piece.
    """
    whole = put_together(described.rows, spectra)
    return MeasureOutcome(
        snapshot_id=described.snapshot_id,
        measured=_with_partial(_with_products(whole, described.products), described.partial),
        pieces=described.pieces,
        stripped=described.stripped,
    )


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


def _products(inputs: SnapshotInputs) -> list[MeasuredProduct]:
    carried = inputs.carried
    told = {name: them[0].product for name, them in carried.items() if them[0].product is not None}
    return [
        product
        for product in products_of(told, inputs.whole)
        if product.name not in carried
        and product.name not in inputs.pieces
        and len(product.name) <= MAX_NAME_CHARACTERS
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
