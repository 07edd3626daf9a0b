"""Parts read from their blobs: a snapshot's own, and what is known of earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from bifurk.exact import Exact
from bifurk.wire import Part, TensorPart, WireError, WireLimits, decode
from bifurk_service.pipeline.inputs import Earlier, by_name
from bifurk_service.stats.shards import full_values, trace
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


def read_parts(blob_url: str, refs: Sequence[BlobRef]) -> list[Part]:
    """A snapshot's own parts, by rank.

    Raises:
        FileNotFoundError: a blob is gone. StorageError: the blobs cannot be reached.
    """
    return [_read(blob_url, ref) for ref in refs]


def _read(blob_url: str, ref: BlobRef) -> Part:
    try:
        blob = open_blobs(blob_url).get(ref.key)
    except FileNotFoundError:
        if ref.fallback is None:
            raise
        return _read(blob_url, ref.fallback)
    return decode(blob, encoding=ref.encoding, limits=STORED_PARTS)


def read_previous(blob_url: str, refs: tuple[BlobRef, ...]) -> Earlier:
    """An earlier part that cannot be read is no earlier value, and no reason to measure nothing."""
    tensors: list[TensorPart] = []
    for ref in refs:
        tensors.extend(_tensors_of(blob_url, ref))
    named = by_name(tensors)
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


def read_first(blob_url: str, refs: tuple[BlobRef, ...]) -> dict[str, Exact]:
    """The traces of the attempt's first snapshot, kept by the worker from one job to the next."""
    tensors: list[TensorPart] = []
    for ref in refs:
        try:
            tensors.extend(_traced(blob_url, ref))
        except (OSError, WireError):
            log.warning("the first part %s cannot be read", ref.key)
    return _traces(by_name(tensors))


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
