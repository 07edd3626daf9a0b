"""How much a reader is willing to take in, and the bounds that the format itself sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_NAME_CHARACTERS: Final = 512
MAX_TEXT_CHARACTERS: Final = 4_096
"""Of a text in marks and optimizer settings."""
MAX_DIMENSIONS: Final = 16
MAX_ELEMENTS: Final = 1 << 46
"""Of one tensor: far beyond any model, and 2^16 counts of this size still add up within int64."""
MAX_PARTS: Final = 1 << 16
"""Of one snapshot; also keeps the merged counts of one tensor within int64."""
MAX_INTEGER: Final = (1 << 63) - 1
"""Whole numbers on the wire fit a signed 64-bit column."""
MAX_LAYER: Final = (1 << 31) - 1
MAX_SECONDS: Final = 253_402_300_799.0
"""The last second of the year 9999, beyond which calendars give up."""
MAX_MARKS: Final = 10_000
MAX_ENTRIES: Final = 1_000
"""Of one object with free keys: scalars, settings, details."""
MAX_LOST_RANGES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """What a reader unpacks; beyond it ``PartTooLargeError`` is raised early.

    Reading a part takes at most about four times ``decoded_bytes`` of memory, plus a hundred
    bytes for each of ``json_values``.

    Attributes:
        decoded_bytes: of a part once decompressed.
        header_bytes: of the safetensors header, which holds the manifest.
        json_values: of the header, of the manifest and of an attempt report, each, counted by
            their separators; keeps a small body from becoming millions of objects.
        tensors: in one part.
        attempt_bytes: of an attempt report.
    """

    decoded_bytes: int = 512 << 20
    header_bytes: int = 16 << 20
    json_values: int = 2_000_000
    tensors: int = 20_000
    attempt_bytes: int = 4 << 20
