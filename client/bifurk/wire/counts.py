"""How the counts of many tensors lie in four arrays, small and quick to compress.

Ordered keys as differences (mostly 1) and counts as byte planes (mostly 0 in the high ones),
all tensors end to end, so that equal bytes lie side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk.sketch import KEYS, Sketch
from bifurk.wire.errors import WireError
from bifurk.wire.limits import MAX_ELEMENTS

Array = NDArray[Any]

OFFSETS: Final = "counts.offsets"
KEY_DELTAS: Final = "counts.key_deltas"
PLANES: Final = "counts.planes"
NONFINITE: Final = "counts.nonfinite"
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    OFFSETS: np.dtype("<i8"),
    KEY_DELTAS: np.dtype("<u2"),
    PLANES: np.dtype("u1"),
    NONFINITE: np.dtype("<i8"),
}

_MOST_PLANES: Final = 8
"""Bytes of a 64-bit count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCounts:
    """The counts of one tensor before its key format is known.

    Attributes:
        keys: uint16, strictly ascending.
        counts: int64, at least 1, same length.
        nonfinite: int64 [3], numbers of NaN, +inf, -inf.
    """

    keys: NDArray[np.uint16]
    counts: NDArray[np.int64]
    nonfinite: NDArray[np.int64]


def pack_counts(sketches: Sequence[Sketch]) -> dict[str, Array]:
    """Sketches to named arrays; none where there are no sketches."""
    if not sketches:
        return {}
    counts = np.concatenate([sketch.counts for sketch in sketches]).astype("<u8")
    planes = max(1, (int(counts.max(initial=0)).bit_length() + 7) // 8)
    deltas = [np.diff(sketch.keys, prepend=np.uint16(0)) for sketch in sketches]
    nonfinite = [[s.nan, s.positive_infinite, s.negative_infinite] for s in sketches]
    return {
        OFFSETS: np.cumsum([0, *(s.keys.size for s in sketches)]).astype(DTYPES[OFFSETS]),
        KEY_DELTAS: np.concatenate(deltas).astype(DTYPES[KEY_DELTAS]),
        PLANES: np.ascontiguousarray(counts.view(np.uint8).reshape(-1, _MOST_PLANES).T[:planes]),
        NONFINITE: np.array(nonfinite, dtype=DTYPES[NONFINITE]),
    }


def unpack_counts(arrays: dict[str, Array], *, sketch_count: int) -> Iterator[RawCounts]:
    """The counts of ``sketch_count`` tensors, one at a time, from arrays of the right dtypes.

    Raises:
        WireError: lengths contradict each other, keys do not ascend, or counts are out of range.
    """
    offsets, deltas = arrays[OFFSETS], arrays[KEY_DELTAS]
    planes, nonfinite = arrays[PLANES], arrays[NONFINITE]
    _check_lengths(offsets, deltas, planes, sketch_count)
    if nonfinite.shape != (sketch_count, 3) or not _within(nonfinite, least=0):
        raise WireError(
            NONFINITE, f"expected {sketch_count} x 3 numbers of NaN, +inf, -inf, none negative"
        )
    for index in range(sketch_count):
        span = slice(int(offsets[index]), int(offsets[index + 1]))
        yield RawCounts(
            keys=_keys(deltas[span], index),
            counts=_counts(planes[:, span], index),
            nonfinite=nonfinite[index],
        )


def _check_lengths(offsets: Array, deltas: Array, planes: Array, sketch_count: int) -> None:
    if deltas.ndim != 1:
        raise WireError(KEY_DELTAS, f"expected one axis, got shape {list(deltas.shape)}")
    if offsets.shape != (sketch_count + 1,) or offsets[0] != 0 or offsets[-1] != deltas.size:
        raise WireError(OFFSETS, f"expected {sketch_count + 1} offsets from 0 to {deltas.size}")
    # Compared, not subtracted: a difference of hostile offsets can overflow and look right.
    if (offsets[1:] < offsets[:-1]).any() or (np.diff(offsets) > KEYS).any():
        raise WireError(OFFSETS, f"each tensor has 0 to {KEYS} keys")
    if planes.ndim != 2 or planes.shape[1] != deltas.size or not 1 <= len(planes) <= _MOST_PLANES:
        raise WireError(
            PLANES,
            f"expected 1 to {_MOST_PLANES} planes of {deltas.size} bytes, "
            f"got shape {list(planes.shape)}",
        )


def _keys(deltas: Array, index: int) -> NDArray[np.uint16]:
    keys = np.cumsum(deltas, dtype=np.int64)
    if keys.size and (keys[-1] >= KEYS or (deltas[1:] == 0).any()):
        raise WireError(KEY_DELTAS, f"keys of sketch {index} do not ascend within 0..{KEYS - 1}")
    return keys.astype(np.uint16)


def _counts(planes: Array, index: int) -> NDArray[np.int64]:
    wide = np.zeros((planes.shape[1], _MOST_PLANES), dtype=np.uint8)
    wide[:, : len(planes)] = planes.T
    counts = wide.view("<u8").reshape(-1)
    if not _within(counts, least=1):
        raise WireError(PLANES, f"counts of sketch {index} are not all from 1 to {MAX_ELEMENTS}")
    return counts.astype(np.int64)


def _within(values: Array, *, least: int) -> bool:
    return bool((values >= least).all() and (values <= MAX_ELEMENTS).all())
