"""A judge's state in pieces of some MiB: arrays of one group, a stretch of their rows, packed.

Detectors that watch one statistic remember much the same of it, and one that has no value anywhere
is all zeros: packed together both take next to nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bifurk_service.detect.base import State
from bifurk_service.detect.state_archive import ForeignStateError

TENSORS: Final = "tensors"
"""The group of the tensors' ids, in its one array ``IDS``."""
IDS: Final = "ids"
PIECE_BYTES: Final = 4 << 20
"""Of a piece before it is packed: nothing that writes or reads one has to hold much more."""
MOST_BYTES: Final = 64 << 20
"""Of a piece unpacked; one that announces more was not written here."""
LEVEL: Final = 3
WINDOW: Final = 23
"""Binary logarithm of the bytes in which what repeats is found: a whole piece."""
LENGTH_BYTES: Final = 4
DTYPES: Final = frozenset({"<f8", "<i8", "|b1", "|u1"})
"""What states are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What one piece holds.

    Attributes:
        group: whose arrays they are. rows: of the group.
        first: the row of the group that their first row is; None: they are whole, and have no row
            for each of the group's.
    """

    group: str
    rows: int
    first: int | None
    arrays: State


def cut(group: str, arrays: Mapping[str, NDArray[Any]], *, rows: int) -> Iterator[bytes]:
    """The pieces of a group: what is whole, which mostly changes, and stretches of rows.

    Args:
        group: its name. arrays: by name; those whose first axis is ``rows`` long are cut along it.
        rows: of the group.
    """
    long = {name: array for name, array in arrays.items() if array.shape[:1] == (rows,)}
    whole = {name: array for name, array in arrays.items() if name not in long}
    if whole or not rows:
        arrays = whole if rows else {**whole, **long}
        yield packed(Stretch(group=group, rows=rows, first=None, arrays=arrays))
    row_bytes = sum(array.nbytes for array in long.values()) // max(rows, 1)
    at_once = max(1, PIECE_BYTES // max(row_bytes, 1))
    for first in range(0, rows, at_once):
        part = {name: array[first : first + at_once] for name, array in long.items()}
        yield packed(Stretch(group=group, rows=rows, first=first, arrays=part))


def joined(pieces: Iterable[bytes]) -> Iterator[tuple[str, State]]:
    """Groups with their whole arrays, from pieces in the order in which they were cut.

    Raises:
        ForeignStateError: a piece is damaged, missing or not of these.
    """
    stretches: list[Stretch] = []
    for piece in pieces:
        stretch = unpacked(piece)
        if stretches and stretch.group != stretches[0].group:
            yield _whole(stretches)
            stretches = []
        stretches.append(stretch)
    if stretches:
        yield _whole(stretches)


def packed(stretch: Stretch) -> bytes:
    """A stretch as bytes: a zstd frame with a checksum, of a header in JSON and the arrays."""
    arrays = {name: _in_order(array) for name, array in stretch.arrays.items()}
    header = json.dumps(
        {
            "group": stretch.group,
            "rows": stretch.rows,
            "first": stretch.first,
            "arrays": [[name, one.dtype.str, one.shape] for name, one in arrays.items()],
        }
    ).encode()
    data = [len(header).to_bytes(LENGTH_BYTES, "little"), header]
    data += [array.tobytes() for array in arrays.values()]
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=WINDOW, write_checksum=1, write_content_size=1
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(b"".join(data))


def unpacked(piece: bytes) -> Stretch:
    """The stretch again; its arrays cannot be written to.

    Raises:
        ForeignStateError: the bytes are none of ``packed``'s.
    """
    try:
        return _parsed(_inflated(piece))
    except (ValueError, TypeError, KeyError, RecursionError, zstandard.ZstdError) as error:
        raise ForeignStateError(f"{len(piece)} bytes that are no piece of a state") from error


def _inflated(piece: bytes) -> bytes:
    size = zstandard.frame_content_size(piece)
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"{size} bytes are announced, at most {MOST_BYTES} are unpacked")
    return zstandard.ZstdDecompressor().decompress(piece, max_output_size=MOST_BYTES)


def _parsed(data: bytes) -> Stretch:
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(data[LENGTH_BYTES:end])
    arrays: State = {}
    for name, dtype, shape in header["arrays"]:
        if dtype not in DTYPES:
            raise ValueError(f"an array of {dtype!r}")
        count = math.prod(shape)
        array = np.frombuffer(data, dtype=dtype, count=count, offset=end)
        arrays[name] = array.reshape(shape)
        end += array.nbytes
    group, rows, first = header["group"], header["rows"], header["first"]
    if not (isinstance(group, str) and isinstance(rows, int) and isinstance(first, int | None)):
        raise TypeError(f"rows from {first!r} of {rows!r} of {group!r}")
    return Stretch(group=group, rows=rows, first=first, arrays=arrays)


def _whole(stretches: list[Stretch]) -> tuple[str, State]:
    group, rows = stretches[0].group, stretches[0].rows
    arrays = {
        name: array for one in stretches if one.first is None for name, array in one.arrays.items()
    }
    cut_along = [one for one in stretches if one.first is not None]
    parts: dict[str, list[NDArray[Any]]] = {}
    for one in cut_along:
        if any(sum(map(len, parts.get(name, ()))) != one.first for name in one.arrays):
            raise ForeignStateError(f"{group} goes on at row {one.first}, before it is missing")
        for name, array in one.arrays.items():
            parts.setdefault(name, []).append(array)
    joint = {name: own[0] if len(own) == 1 else np.concatenate(own) for name, own in parts.items()}
    if any(len(array) != rows for array in joint.values()):
        raise ForeignStateError(f"of {rows} rows of {group} some are missing")
    return group, {**arrays, **joint}


def _in_order(array: NDArray[Any]) -> NDArray[Any]:
    """As it lies in a file: whatever the machine, the lowest byte first."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
