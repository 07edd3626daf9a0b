"""The snapshot part on the wire: a safetensors file with zstd around it.

One part is what one rank knows of one snapshot: a manifest (JSON in the safetensors
metadata) and per tensor its counts and exact sample, or its exact values when it is small,
and now and then its full values. ``docs/wire-format.md`` describes the bytes.
"""

from bifurk.wire.attempt import AttemptReport, decode_attempt, encode_attempt
from bifurk.wire.decode import decode
from bifurk.wire.encode import content_digest, encode, encode_plain
from bifurk.wire.errors import PartTooLargeError, WireError
from bifurk.wire.limits import WireLimits
from bifurk.wire.manifest import read_loss_report, read_mark
from bifurk.wire.part import (
    WIRE_VERSION,
    Detail,
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    Product,
    ScalarSummary,
    TensorPart,
    strip_full,
)
from bifurk.wire.slug import SLUG_PATTERN, check_slug

__all__ = [
    "SLUG_PATTERN",
    "WIRE_VERSION",
    "AttemptReport",
    "Detail",
    "LossReport",
    "Manifest",
    "Mark",
    "Part",
    "PartTooLargeError",
    "Placement",
    "Product",
    "ScalarSummary",
    "TensorPart",
    "WireError",
    "WireLimits",
    "check_slug",
    "content_digest",
    "decode",
    "decode_attempt",
    "encode",
    "encode_attempt",
    "encode_plain",
    "read_loss_report",
    "read_mark",
    "strip_full",
]
