"""The file around a part: one zstd frame, and in it the safetensors layout.

Read here rather than by the safetensors library so that nothing is allocated before its size
was judged, and every offset, shape and duplicate is answered in this wire's own words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.fields import Fields, shown
from bifurk.wire.limits import MAX_DIMENSIONS, MAX_ELEMENTS, MAX_INTEGER, WireLimits
from bifurk.wire.strict_json import parse_object

Array = NDArray[Any]

LARGEST_WINDOW_BYTES: Final = 8 << 20
"""What every zstd decoder has to support (RFC 8878, 3.1.1.1.2); a frame cannot demand more."""

HEADER_LENGTH_BYTES: Final = 8

# Every four bytes of input can unfold into a block of 128 KiB: a kibibyte into 32 MiB.
_FEED_BYTES: Final = 1 << 10
_OTHER_ENTRIES: Final = 64
"""Entries besides one a tensor: four of counts, two a dtype, and room for later minors."""

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What a safetensors file holds: the manifest's text and read-only views of its arrays."""

    manifest: str
    arrays: dict[str, Array]


def decompress(body: bytes, *, limit: int) -> memoryview:
    """Unpacks exactly one whole zstd frame, of at most ``limit`` bytes.

    Raises:
        PartTooLargeError: it holds more.
        WireError: it is not one whole frame, or something follows it.
    """
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW_BYTES).decompressobj()
    plain = bytearray()
    try:
        if zstandard.frame_content_size(body) > limit:
            raise PartTooLargeError("body", f"at most {limit} bytes when unpacked")
        for start in range(0, len(body), _FEED_BYTES):
            plain += reader.decompress(body[start : start + _FEED_BYTES])
            if len(plain) > limit:
                raise PartTooLargeError("body", f"at most {limit} bytes when unpacked")
            if reader.eof:
                _refuse_more(body, start + _FEED_BYTES, reader.unused_data)
                return memoryview(plain).toreadonly()
    except zstandard.ZstdError as error:
        raise WireError("body", f"not a zstd frame ({error})") from None
    raise WireError("body", f"the zstd frame is truncated after {len(body)} bytes")


def read_container(plain: memoryview, limits: WireLimits) -> Container:
    """Takes a safetensors file apart without copying its arrays.

    Raises:
        PartTooLargeError: header or number of entries are beyond the limits.
        WireError: it is not safetensors, or carries no manifest.
    """
    header_end = HEADER_LENGTH_BYTES + _header_length(plain, limits)
    header = parse_object(
        plain[HEADER_LENGTH_BYTES:header_end],
        "safetensors header",
        most_values=limits.json_values,
    )
    metadata = header.pop("__metadata__", None)
    manifest = metadata.get("manifest") if isinstance(metadata, dict) else None
    if not isinstance(manifest, str):
        raise WireError("safetensors header", "no `manifest` in `__metadata__`")
    most = limits.tensors + _OTHER_ENTRIES
    if len(header) > most:
        raise PartTooLargeError("safetensors header", f"at most {most} entries, got {len(header)}")
    return Container(manifest=manifest, arrays=dict(_arrays(header, plain[header_end:])))


def _refuse_more(body: bytes, fed: int, unused: bytes) -> None:
    trailing = len(unused) + max(0, len(body) - fed)
    if trailing:
        raise WireError("body", f"{trailing} bytes follow the one zstd frame")


def _header_length(plain: memoryview, limits: WireLimits) -> int:
    length = int.from_bytes(plain[:HEADER_LENGTH_BYTES], "little")
    room = len(plain) - HEADER_LENGTH_BYTES
    if room < 0:
        raise WireError("safetensors", f"{len(plain)} bytes are too few for a header")
    if length > room:
        raise WireError("safetensors header", f"{length} bytes announced, {room} came")
    if length > limits.header_bytes:
        raise PartTooLargeError(
            "safetensors header", f"at most {limits.header_bytes} bytes, got {length}"
        )
    return length


def _arrays(header: dict[str, Any], data: memoryview) -> Iterator[tuple[str, Array]]:
    """Every entry, once they are known to tile the data: no gap, no overlap, nothing beyond."""
    entries = sorted((_Entry.read(name, described) for name, described in header.items()))
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise WireError(
                f"safetensors entry {shown(entry.name)}",
                f"expected its data at {end}, got {entry.begin}: entries lie end to end",
            )
        end = entry.end
    if end != len(data):
        raise WireError("safetensors", f"the entries take {end} bytes, {len(data)} came")
    for entry in entries:
        flat = np.frombuffer(data[entry.begin : entry.end], dtype=entry.dtype)
        yield entry.name, flat.reshape(entry.shape)


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    begin: int
    end: int
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def read(cls, name: str, described: Any) -> _Entry:
        f = Fields(described, f"safetensors entry {shown(name)}")
        dtype = _DTYPES.get(f.text("dtype"))
        if dtype is None:
            f.fail("dtype", f"one of {', '.join(_DTYPES)}")
        shape = f.integers("shape", least=0, most=MAX_ELEMENTS, limit=MAX_DIMENSIONS)
        # Zeros count as ones here: numpy checks the other axes of an empty array as well.
        if math.prod(max(1, axis) for axis in shape) > MAX_ELEMENTS:
            f.fail("shape", f"at most {MAX_ELEMENTS} elements")
        offsets = f.integers("data_offsets", least=0, most=MAX_INTEGER, limit=2)
        expected = math.prod(shape) * dtype.itemsize
        if len(offsets) != 2 or offsets[1] - offsets[0] != expected:
            f.fail("data_offsets", f"[begin, end] that are {expected} bytes apart")
        return cls(*offsets, name, dtype, shape)
