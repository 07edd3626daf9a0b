"""Parts to bytes.

Arrays of the same kind lie end to end in one safetensors entry each, so that a model of a
thousand small tensors costs a dozen entries, and equal bytes lie side by side for zstd:
ordered keys as differences (mostly 1), counts as byte planes (mostly 0 in the high ones).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors.numpy import save

from bifurk.exact import Exact
from bifurk.sketch import Sketch
from bifurk.wire.part import Part, TensorPart

COMPRESSION_LEVEL: Final = 1

COUNT_OFFSETS: Final = "counts.offsets"
COUNT_KEY_DELTAS: Final = "counts.key_deltas"
COUNT_PLANES: Final = "counts.planes"
COUNT_NONFINITE: Final = "counts.nonfinite"


def encode(part: Part) -> bytes:
    """The body of one part: safetensors inside one zstd frame."""
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(encode_plain(part))


def encode_plain(part: Part) -> bytes:
    """The same without compression (``Content-Encoding: identity``)."""
    arrays: dict[str, NDArray[Any]] = {}
    arrays.update(_pack_counts([t.counts for t in part.tensors if t.counts is not None]))
    arrays.update(_pack_exact("values", [t.values for t in part.tensors if t.values is not None]))
    arrays.update(_pack_exact("sample", [t.sample for t in part.tensors if t.sample is not None]))
    for index, tensor in enumerate(part.tensors):
        if tensor.full is not None:
            arrays[f"full.{index}"] = _storable(tensor.full).reshape(tensor.local_shape)
    manifest = dataclasses.asdict(part.manifest)
    manifest["tensors"] = [_describe(tensor) for tensor in part.tensors]
    return save(arrays, metadata={"manifest": json.dumps(manifest, ensure_ascii=False)})


def content_digest(body: bytes) -> str:
    """The ``Content-Digest`` header (RFC 9530) of a body as sent."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _describe(tensor: TensorPart) -> dict[str, Any]:
    description: dict[str, Any] = {
        "name": tensor.name,
        "layer": tensor.layer,
        "role": tensor.role,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "carries": [
            kind
            for kind in ("counts", "values", "sample", "full")
            if getattr(tensor, kind) is not None
        ],
    }
    if tensor.placement is not None:
        description["placement"] = dataclasses.asdict(tensor.placement)
    return description


def _pack_counts(sketches: list[Sketch]) -> dict[str, NDArray[Any]]:
    if not sketches:
        return {}
    lengths = [sketch.keys.size for sketch in sketches]
    counts = np.concatenate([sketch.counts for sketch in sketches]).astype("<u8")
    planes = max(1, (int(counts.max(initial=0)).bit_length() + 7) // 8)
    deltas = [np.diff(sketch.keys, prepend=np.uint16(0)) for sketch in sketches]
    return {
        COUNT_OFFSETS: np.cumsum([0, *lengths], dtype=np.int64),
        COUNT_KEY_DELTAS: np.concatenate(deltas).astype("<u2"),
        COUNT_PLANES: np.ascontiguousarray(counts.view(np.uint8).reshape(-1, 8)[:, :planes].T),
        COUNT_NONFINITE: np.array(
            [[s.nan, s.positive_infinite, s.negative_infinite] for s in sketches], dtype=np.int64
        ),
    }


def _pack_exact(kind: str, values: list[Exact]) -> dict[str, NDArray[Any]]:
    dtypes = sorted({value.dtype for value in values})
    return {
        f"{kind}.{dtype}": np.concatenate(
            [_storable(v).ravel() for v in values if v.dtype == dtype]
        )
        for dtype in dtypes
    }


def _storable(value: Exact) -> NDArray[Any]:
    return np.ascontiguousarray(value.data)
