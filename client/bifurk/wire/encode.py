"""Parts to bytes.

Arrays of the same kind lie end to end in one safetensors entry each, so that a model of a
thousand small tensors costs a dozen entries, and equal bytes lie side by side for zstd.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors.numpy import save

from bifurk.exact import Exact
from bifurk.wire.counts import pack_counts
from bifurk.wire.part import Part, TensorPart
from bifurk.wire.payloads import KINDS
from bifurk.wire.strict_json import write

COMPRESSION_LEVEL: Final = 1


def encode(part: Part) -> bytes:
    """The body of one part: safetensors inside one zstd frame."""
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(encode_plain(part))


def encode_plain(part: Part) -> bytes:
    """The same without compression (``Content-Encoding: identity``)."""
    arrays: dict[str, NDArray[Any]] = {}
    arrays.update(pack_counts([t.counts for t in part.tensors if t.counts is not None]))
    arrays.update(_pack_exact("values", [t.values for t in part.tensors if t.values is not None]))
    arrays.update(_pack_exact("sample", [t.sample for t in part.tensors if t.sample is not None]))
    for index, tensor in enumerate(part.tensors):
        if tensor.full is not None:
            arrays[f"full.{index}"] = _storable(tensor.full).reshape(tensor.local_shape)
    manifest = {f.name: getattr(part.manifest, f.name) for f in dataclasses.fields(part.manifest)}
    manifest["tensors"] = [_describe(tensor) for tensor in part.tensors]
    return save(arrays, metadata={"manifest": write(manifest)})


def content_digest(body: bytes) -> str:
    """The ``Content-Digest`` header (RFC 9530) of a body as sent."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _describe(tensor: TensorPart) -> dict[str, Any]:
    description: dict[str, Any] = {
        "name": tensor.name,
        "layer": tensor.layer,
        "role": tensor.role,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "carries": [kind for kind in KINDS if getattr(tensor, kind) is not None],
    }
    if tensor.placement is not None:
        description["placement"] = tensor.placement
    if tensor.packing is not None:
        description["packing"] = str(tensor.packing)
    if tensor.product is not None:
        description["product"] = tensor.product
    return description


def _pack_exact(kind: str, values: Sequence[Exact]) -> dict[str, NDArray[Any]]:
    dtypes = sorted({value.dtype for value in values})
    return {
        f"{kind}.{dtype}": np.concatenate(
            [_storable(v).ravel() for v in values if v.dtype == dtype]
        )
        for dtype in dtypes
    }


def _storable(value: Exact) -> NDArray[Any]:
    return np.ascontiguousarray(value.data)
