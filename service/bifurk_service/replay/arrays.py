"""Arrays inside JSON: exact, compressed, and bounded when read back."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

LEVEL: Final = 9
LARGEST_BYTES: Final = 1 << 30
"""Of one array or state unpacked: what a document announces beyond it is refused."""


def pack(data: bytes) -> str:
    """Bytes as base64 of a zstd frame."""
    return base64.b64encode(zstandard.ZstdCompressor(level=LEVEL).compress(data)).decode()


def unpack(text: object) -> bytes:
    """The bytes again.

    Raises:
        ValueError: it is none of ``pack``'s, or too large.
    """
    if not isinstance(text, str):
        raise ValueError(f"packed bytes are text, got {type(text).__name__}")  # noqa: TRY004
    try:
        frame = base64.b64decode(text, validate=True)
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= LARGEST_BYTES:
            raise ValueError(f"{size} bytes are announced, at most {LARGEST_BYTES} are unpacked")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=LARGEST_BYTES)
    except (binascii.Error, zstandard.ZstdError) as error:
        raise ValueError(f"not base64 of a zstd frame: {error}") from None


def pack_array(array: NDArray[np.float64]) -> dict[str, Any]:
    """A float64 array with its shape."""
    return {"shape": list(array.shape), "float64": pack(array.astype("<f8").tobytes())}


def unpack_array(document: Mapping[str, Any]) -> NDArray[np.float64]:
    """The array again.

    Raises:
        ValueError: it is none of ``pack_array``'s.
    """
    shape = document.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array's shape is a list of whole numbers, got {shape!r:.80}")
    data = unpack(document.get("float64"))
    if len(data) != 8 * math.prod(shape):
        raise ValueError(f"shape {shape} takes {8 * math.prod(shape)} bytes, {len(data)} came")
    return np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(shape)
