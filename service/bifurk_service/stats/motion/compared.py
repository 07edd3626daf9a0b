"""The same elements at two snapshots, passed over in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.value import EMPTY, INCOMPARABLE, NO_FINITE, NoValue

CHUNK: Final = 1 << 16
"""Elements widened to float64 at a time: two such chunks and a few results stay in the cache."""
SAFE_EXPONENT: Final = 200
"""Fourth powers of magnitudes from 2^-200 to 2^200, and sums of 2^40 of them, stay in float64;
outside, the values are scaled by a power of two first, which rounds nothing that counts."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """The same elements now and then, in the same order; any shape, of equal sizes."""

    now: Exact
    then: Exact


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """What is finite both now and then.

    Attributes:
        size: how many elements that are, at least 1. sampled: elements compared, finite or not.
        exponent: the elements are to be scaled by 2^-exponent before they are squared.
        now_equal, then_equal: whether all elements are equal at that time.
    """

    compared: Compared
    held: tuple[Floats, Floats] | None
    size: int
    sampled: int
    exponent: int
    now_equal: bool
    then_equal: bool

    def chunks(self) -> Iterator[tuple[Floats, Floats]]:
        """The elements now and then, float64 [at most ``CHUNK``] each."""
        if self.held is not None:
            yield self.held
        else:
            yield from _finite_chunks(self.compared)

    def scaled_chunks(self) -> Iterator[tuple[Floats, Floats]]:
        """The same in units of 2^exponent: squares and their squares stay in float64."""
        for now, then in self.chunks():
            if self.exponent:
                yield np.ldexp(now, -self.exponent), np.ldexp(then, -self.exponent)
            else:
                yield now, then


def pair_of(compared: Compared) -> Pair | NoValue:
    """The finite elements of a comparison, or why there is nothing to compare."""
    sampled = compared.now.data.size
    if sampled != compared.then.data.size:
        return INCOMPARABLE
    if sampled == 0:
        return EMPTY
    chunks = list(_finite_chunks(compared)) if sampled <= CHUNK else None
    extremes = [
        _Extremes.of(now, then)
        for now, then in (chunks if chunks is not None else _finite_chunks(compared))
        if now.size
    ]
    if not extremes:
        return NO_FINITE
    total = reduce(_Extremes.joined, extremes)
    peak = max(map(abs, (*total.now, *total.then)))
    exponent = int(np.frexp(peak)[1])
    return Pair(
        compared=compared,
        held=chunks[0] if chunks is not None else None,
        size=total.size,
        sampled=sampled,
        exponent=exponent if abs(exponent) > SAFE_EXPONENT else 0,
        now_equal=total.now[0] == total.now[1],
        then_equal=total.then[0] == total.then[1],
    )


@dataclass(frozen=True, slots=True)
class _Extremes:
    size: int
    now: tuple[float, float]
    then: tuple[float, float]

    @classmethod
    def of(cls, now: Floats, then: Floats) -> _Extremes:
        return cls(
            now.size,
            (float(now.min()), float(now.max())),
            (float(then.min()), float(then.max())),
        )

    def joined(self, other: _Extremes) -> _Extremes:
        return _Extremes(
            self.size + other.size, _span(self.now, other.now), _span(self.then, other.then)
        )


def _span(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return min(a[0], b[0]), max(a[1], b[1])


def _finite_chunks(compared: Compared) -> Iterator[tuple[Floats, Floats]]:
    now_data, then_data = compared.now.data.reshape(-1), compared.then.data.reshape(-1)
    for start in range(0, now_data.size, CHUNK):
        piece = slice(start, start + CHUNK)
        now = Exact(dtype=compared.now.dtype, data=now_data[piece]).float64()
        then = Exact(dtype=compared.then.dtype, data=then_data[piece]).float64()
        finite = np.isfinite(now) & np.isfinite(then)
        yield (now, then) if finite.all() else (now[finite], then[finite])
