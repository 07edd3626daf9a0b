"""Bodies made by hand: a valid one taken apart, changed anywhere, and put together again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import zstandard

from bifurk.exact import Exact
from bifurk.sketch import Sketch
from bifurk.wire import Part, TensorPart, WireError, WireLimits, decode, encode_plain

MIB = 1 << 20
MINIMAL = {
    "wire_version": "1.0",
    "project": "p",
    "run": "r",
    "attempt": "a",
    "step": 0,
    "sequence": 0,
    "tensors": [],
}


def forge(
    part: Part,
    *,
    manifest: Callable[[dict[str, Any]], object] | None = None,
    header: Callable[[dict[str, Any]], object] | None = None,
) -> bytes:
    """The part's body without compression, its JSON changed in place by the given functions."""
    whole, data = take_apart(encode_plain(part))
    document = json.loads(whole["__metadata__"]["manifest"])
    if manifest is not None:
        manifest(document)
    whole["__metadata__"]["manifest"] = json.dumps(document)
    if header is not None:
        header(whole)
    return put_together(json.dumps(whole).encode(), data)


def replace_array(part: Part, entry: str, array: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """The part's body with other contents in one entry, of any shape and dtype."""
    whole, data = take_apart(encode_plain(part))
    names = {np.dtype(k): v for k, v in (("u1", "U8"), ("<u2", "U16"), ("<i8", "I64"))}
    pieces = b""
    entries = sorted(whole.items(), key=lambda item: item[1].get("data_offsets", [-1])[0])
    for name, described in entries:
        if name == "__metadata__":
            continue
        piece = data[slice(*described["data_offsets"])]
        if name == entry:
            piece = array.tobytes()
            described.update(dtype=names[array.dtype], shape=list(array.shape))
        described["data_offsets"] = [len(pieces), len(pieces) + len(piece)]
        pieces += piece
    return put_together(json.dumps(whole).encode(), pieces)


def take_apart(plain: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(plain[:8], "little")
    return json.loads(plain[8 : 8 + length]), plain[8 + length :]


def put_together(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def manifest_alone(document: Mapping[str, Any]) -> bytes:
    """A body of one manifest and no arrays."""
    header = {"__metadata__": {"manifest": json.dumps(document)}}
    return put_together(json.dumps(header).encode(), b"")


def zstd(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(plain)


def refused(plain: bytes, *, limits: WireLimits | None = None) -> WireError:
    """What a reader of the uncompressed body says is wrong with it."""
    with pytest.raises(WireError) as caught:
        decode(plain, encoding="identity", limits=limits)
    return caught.value


def assert_same_part(one: Part, other: Part) -> None:
    assert one.manifest == other.manifest
    assert len(one.tensors) == len(other.tensors)
    for mine, theirs in zip(one.tensors, other.tensors, strict=True):
        assert _description(mine) == _description(theirs)
        assert _counts(mine.counts) == _counts(theirs.counts)
        for kind in ("values", "sample", "full"):
            assert _bits(getattr(mine, kind)) == _bits(getattr(theirs, kind))


def _description(tensor: TensorPart) -> tuple[object, ...]:
    return (
        tensor.name,
        tensor.shape,
        tensor.dtype,
        tensor.role,
        tensor.layer,
        tensor.placement,
        tensor.packing,
        tensor.product,
    )


def _counts(counts: Sketch | None) -> object:
    if counts is None:
        return None
    nonfinite = (counts.nan, counts.positive_infinite, counts.negative_infinite)
    return counts.format, counts.keys.tolist(), counts.counts.tolist(), nonfinite


def _bits(exact: Exact | None) -> object:
    return None if exact is None else (exact.dtype, exact.data.shape, exact.data.tobytes())
