"""The snapshot part on the wire: a safetensors file with zstd around it.

One part is what one rank knows of one snapshot: a manifest (JSON in the safetensors
metadata) and per tensor its counts and exact sample, or its exact values when it is small,
and now and then its full values. ``docs/wire-format.md`` describes the bytes.
"""

from bifurk.wire.decode import PartTooLarge, WireError, WireLimits, decode
from bifurk.wire.encode import content_digest, encode
from bifurk.wire.part import (
    WIRE_VERSION,
    Detail,
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    ScalarSummary,
    TensorPart,
)

__all__ = [
    "WIRE_VERSION",
    "Detail",
    "LossReport",
    "Manifest",
    "Mark",
    "Part",
    "PartTooLarge",
    "Placement",
    "ScalarSummary",
    "TensorPart",
    "WireError",
    "WireLimits",
    "content_digest",
    "decode",
    "encode",
]
