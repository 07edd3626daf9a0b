"""The median of more values than are worth holding at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Chunks: TypeAlias = Callable[[], Iterable[NDArray[np.float64]]]
"""Starts the values afresh, in pieces; the same ones every time."""

HELD: Final = 1 << 20
"""Up to this many values, 8 MiB, are simply held."""
SAMPLE: Final = 1 << 16
"""Values, at equal distances, from which the median is bracketed first."""
BRACKET: Final = 0.01
"""Half-width of the bracket as a share: five standard errors of the sample's median rank. One
value in fifty is held; values in a bad order for this sample cost memory and not exactness."""


def middle_values(chunks: Chunks, *, size: int) -> tuple[float, float]:
    """The two order statistics around the middle, equal where the number of values is odd.

    Args:
        chunks: the values, none of them NaN. size: how many there are in all, at least 1.
    """
    ranks = (size - 1) // 2, size // 2
    if size > HELD:
        low, high = _bracket(chunks, size)
        found = _within(chunks, low, high, ranks)
        if found is not None:
            return found
    return _select(np.concatenate(list(chunks())), ranks)


def _bracket(chunks: Chunks, size: int) -> tuple[float, float]:
    stride = size // SAMPLE
    sample, start = [], 0
    for chunk in chunks():
        # A copy: a view would keep the whole chunk alive.
        sample.append(chunk[-start % stride :: stride].copy())
        start += chunk.size
    values = np.sort(np.concatenate(sample))
    first = int((0.5 - BRACKET) * values.size)
    return float(values[first]), float(values[-1 - first])


def _within(
    chunks: Chunks, low: float, high: float, ranks: tuple[int, int]
) -> tuple[float, float] | None:
    """The values of these ranks where both lie in [low, high]; ties with an end are not held."""
    below = at_low = at_high = 0
    inside: list[NDArray[np.float64]] = []
    for chunk in chunks():
        below += int(np.count_nonzero(chunk < low))
        at_low += int(np.count_nonzero(chunk == low))
        at_high += int(np.count_nonzero(chunk == high)) if high > low else 0
        inside.append(chunk[(chunk > low) & (chunk < high)])
    held = np.concatenate(inside)
    if ranks[0] < below or ranks[1] >= below + at_low + held.size + at_high:
        return None
    found = []
    for rank in ranks:
        place = rank - below - at_low
        if place < 0:
            found.append(low)
        elif place >= held.size:
            found.append(high)
        else:
            found.append(float(np.partition(held, place)[place]))
    return found[0], found[1]


def _select(values: NDArray[np.float64], ranks: tuple[int, int]) -> tuple[float, float]:
    parted = np.partition(values, ranks)
    return float(parted[ranks[0]]), float(parted[ranks[1]])
