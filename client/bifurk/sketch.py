"""16-bit keys to counts: the whole distribution of a tensor in a few kilobytes.

A 16-bit float has 65,536 bit patterns. How often each occurs is the lossless
distribution of a bfloat16 or float16 tensor; float32 and float64 values are first
rounded to the nearest bfloat16 (ties to even), which keeps them to 2^-8 relative.
Counts of one format add, so shards merge exactly.

Keys are *ordered*: a larger key is a larger value. The bit pattern of a float is sign
and magnitude, so the key is ``ZERO_KEY + magnitude`` for positive and
``ZERO_KEY - magnitude`` for negative values; -0 falls on 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

KeyFormat: TypeAlias = Literal["bf16", "f16"]

KEYS: Final = 65_536
ZERO_KEY: Final = 0x8000
SMALL_TENSOR_ELEMENTS: Final = 16_384
"""Tensors up to this size travel as exact values instead of counts."""
SAMPLE_SIZE: Final = 4_096
"""Exact values that every larger tensor contributes at fixed positions."""

_INFINITY_MAGNITUDE: Final[dict[str, int]] = {"bf16": 0x7F80, "f16": 0x7C00}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketch:
    """Counts of one tensor's values by 16-bit key.

    Attributes:
        format: which 16-bit float the keys stand for; only equal formats merge.
        keys: ordered keys of the finite values that occur, uint16, strictly ascending.
        counts: how often each occurs, int64, at least 1, same length as ``keys``.
        nan: number of NaN.
        positive_infinite: number of +inf.
        negative_infinite: number of -inf.
    """

    format: KeyFormat
    keys: NDArray[np.uint16]
    counts: NDArray[np.int64]
    nan: int = 0
    positive_infinite: int = 0
    negative_infinite: int = 0

    def __post_init__(self) -> None:
        keys, counts = self.keys, self.counts
        if keys.dtype != np.uint16 or counts.dtype != np.int64:
            raise ValueError(
                f"expected uint16 keys, int64 counts, got {keys.dtype}, {counts.dtype}"
            )
        if keys.ndim != 1 or keys.shape != counts.shape:
            raise ValueError(f"expected equal lengths, got shapes {keys.shape}, {counts.shape}")

    @property
    def finite_count(self) -> int:
        """Number of finite values."""
        return int(self.counts.sum())

    @property
    def nonfinite_count(self) -> int:
        """Number of NaN and infinite values."""
        return self.nan + self.positive_infinite + self.negative_infinite

    @property
    def size(self) -> int:
        """Number of values of any kind."""
        return self.finite_count + self.nonfinite_count

    def values(self) -> NDArray[np.float64]:
        """The value each key stands for, float64, ascending, same length as ``keys``."""
        return key_values(self.format)[self.keys]


def key_format(dtype: str) -> KeyFormat:
    """The key format a tensor of this dtype is counted in: float16 its own, the rest bfloat16."""
    return "f16" if dtype == "float16" else "bf16"


def sketch(values: NDArray[np.floating], *, chunk_elements: int = 1 << 18) -> Sketch:
    """Counts the values of one array of float16, float32 or float64, any shape."""
    if values.dtype == np.float16:
        return sketch_bits(values.reshape(-1).view(np.uint16), "f16", chunk_elements=chunk_elements)
    flat = values.reshape(-1)
    table = np.zeros(KEYS, dtype=np.int64)
    for start in range(0, flat.size, chunk_elements):
        bits = bfloat16_bits(flat[start : start + chunk_elements])
        table += np.bincount(bits, minlength=KEYS)
    return from_table(table, "bf16")


def sketch_bits(
    bits: NDArray[np.uint16], format: KeyFormat, *, chunk_elements: int = 1 << 18
) -> Sketch:
    """Counts 16-bit patterns that already are of the given format."""
    flat = bits.reshape(-1)
    table = np.zeros(KEYS, dtype=np.int64)
    for start in range(0, flat.size, chunk_elements):
        table += np.bincount(flat[start : start + chunk_elements], minlength=KEYS)
    return from_table(table, format)


def from_table(table: NDArray[np.int64], format: KeyFormat) -> Sketch:
    """Turns counts indexed by raw bit pattern, shape [65536], into a sketch."""
    infinity = _INFINITY_MAGNITUDE[format]
    positive, negative = table[:ZERO_KEY], table[ZERO_KEY:]
    # Negative patterns grow away from zero, so they are read backwards; -0 is 0.
    below = np.flatnonzero(negative[1:infinity] != 0)[::-1] + 1
    above = np.flatnonzero(positive[1:infinity] != 0) + 1
    zeros = positive[:1] + negative[:1]
    zeros = zeros[zeros != 0]
    return Sketch(
        format=format,
        keys=np.concatenate(
            [ZERO_KEY - below, np.full(zeros.size, ZERO_KEY), ZERO_KEY + above]
        ).astype(np.uint16),
        counts=np.concatenate([negative[below], zeros, positive[above]]),
        nan=int(positive[infinity + 1 :].sum() + negative[infinity + 1 :].sum()),
        positive_infinite=int(positive[infinity]),
        negative_infinite=int(negative[infinity]),
    )


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all the values together; exact, whatever the order.

    Raises:
        ValueError: no sketch was given, or their formats differ.
    """
    parts = list(sketches)
    if not parts:
        raise ValueError("at least one sketch is needed to merge")
    formats = {part.format for part in parts}
    if len(formats) > 1:
        raise ValueError(f"only sketches of one key format merge, got {sorted(formats)}")
    ordered = np.zeros(KEYS, dtype=np.int64)
    for part in parts:
        ordered[part.keys] += part.counts
    keys = np.flatnonzero(ordered)
    return Sketch(
        format=parts[0].format,
        keys=keys.astype(np.uint16),
        counts=ordered[keys],
        nan=sum(part.nan for part in parts),
        positive_infinite=sum(part.positive_infinite for part in parts),
        negative_infinite=sum(part.negative_infinite for part in parts),
    )


@cache
def key_values(format: KeyFormat) -> NDArray[np.float64]:
    """The value of every ordered key, float64 [65536]; NaN where no finite value belongs to it."""
    ordered = np.arange(KEYS, dtype=np.int64)
    magnitude = np.abs(ordered - ZERO_KEY)
    bits = np.where(magnitude < _INFINITY_MAGNITUDE[format], magnitude, 0).astype(np.uint16)
    if format == "bf16":
        unsigned = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    else:
        unsigned = bits.view(np.float16).astype(np.float64)
    values = np.where(ordered < ZERO_KEY, -unsigned, unsigned)
    values[magnitude >= _INFINITY_MAGNITUDE[format]] = np.nan
    values.setflags(write=False)
    return values


def bfloat16_bits(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Bit patterns of the nearest bfloat16, ties to even, as hardware and torch round.

    NaN stays NaN; what exceeds the largest finite bfloat16 by half a step or more
    becomes infinite. float64 passes through float32 first, as ``tensor.bfloat16()`` does.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(
        16
    )
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return cast("NDArray[np.uint16]", np.where(nan, 0x7FC0, rounded).astype(np.uint16))


def sample_positions(size: int) -> NDArray[np.int64]:
    """The ``SAMPLE_SIZE`` positions whose exact values travel, int64, strictly ascending.

    One position in each of ``SAMPLE_SIZE`` equal strata of the flattened tensor, placed
    inside by a fixed hash (splitmix64 of the stratum's index): the same for every tensor of
    this size, on every machine, for good, and independent of any random state.

    Raises:
        ValueError: the tensor has fewer elements than the sample.
    """
    if size < SAMPLE_SIZE:
        raise ValueError(f"a sample needs at least {SAMPLE_SIZE} elements, got {size}")
    stratum = np.arange(SAMPLE_SIZE, dtype=np.int64)
    first = stratum * size // SAMPLE_SIZE
    width = (stratum + 1) * size // SAMPLE_SIZE - first
    return first + (_splitmix64(stratum.astype(np.uint64)) % width.astype(np.uint64)).astype(
        np.int64
    )


def _splitmix64(index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators."""
    z = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
