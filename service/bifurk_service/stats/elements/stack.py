"""Distributions of many tensors end to end, so that one array operation serves all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from bifurk.sketch import SMALL_TENSOR_ELEMENTS
from bifurk_service.stats.distributions.distribution import Distribution

Floats: TypeAlias = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64, np.bool_)

SMALL_ELEMENTS: Final = SMALL_TENSOR_ELEMENTS
"""Up to this size some statistics go through all elements; the client sends those exactly."""
_SAFE_EXPONENT: Final = 1000
"""Powers of two up to here are finite as factors, and so are their reciprocals."""


class Kind(Enum):
    """What is known of the elements counted at a value."""

    EXACT = "float32 or float64 values as they are"
    GRID = "values of a 16-bit format as they are, each with the interval that rounds to it"
    ROUNDED = "wider values rounded to a 16-bit format: only the interval is known"


def group_of(distribution: Distribution) -> tuple[Kind, bool]:
    """Which distributions it may share a stack with: of its kind, small or large alike."""
    return _kind_of(distribution), distribution.size <= SMALL_ELEMENTS


def _kind_of(distribution: Distribution) -> Kind:
    if distribution.bins is None:
        return Kind.EXACT
    return Kind.GRID if distribution.lossless else Kind.ROUNDED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """T distributions of one group, K entries in all; every result is [T] or [T, ...].

    Values are scaled by a power of two a tensor, which rounds nothing and keeps fourth powers and
    differences inside float64 for every magnitude it can hold. No result depends on which tensors
    share a stack.

    Attributes:
        kind: of all of them.
        exponent: int64 [T]; what has a unit is in units of 2^exponent of its tensor, every value
            below 1 in magnitude.
        values: float64 [K], strictly ascending within a tensor.
        low, high: float64 [K], the interval behind each value; ``values`` itself where exact.
        counts: float64 [K], whole numbers, at least 1.
        starts, lengths: int64 [T], each tensor's first entry and number of entries, at least 1.
        sizes: int64 [T], number of elements.
        owner: int64 [K], which tensor an entry belongs to.
        through: int64 [K], elements up to and with this entry, counted from the first tensor on.
        before: int64 [T], elements in the tensors before.
    """

    kind: Kind
    exponent: NDArray[np.int64]
    values: Floats
    low: Floats
    high: Floats
    counts: Floats
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    sizes: NDArray[np.int64]
    owner: NDArray[np.int64] = field(init=False)
    through: NDArray[np.int64] = field(init=False)
    before: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        tensors = np.arange(self.lengths.size)
        object.__setattr__(self, "owner", np.repeat(tensors, self.lengths))
        object.__setattr__(self, "through", np.cumsum(self.counts.astype(np.int64)))
        object.__setattr__(self, "before", np.cumsum(self.sizes) - self.sizes)

    def spread(self, per_tensor: NDArray[Number]) -> NDArray[Number]:
        """[T] to [K]: every entry gets its tensor's."""
        return np.repeat(per_tensor, self.lengths)

    def total(self, per_entry: Floats) -> Floats:
        """[K] to [T]: sums."""
        return np.add.reduceat(per_entry, self.starts)

    def mean(self, per_entry: Floats) -> Floats:
        """[K] to [T]: means over the elements."""
        return self.total(per_entry * self.counts) / self.sizes

    def ranks_below(self) -> Floats:
        """How many elements of the tensor are smaller than each value, float64 [K]."""
        below: Floats = self.through - self.counts - self.spread(self.before)
        return below

    @property
    def small(self) -> bool:
        """Whether the elements are known and few enough to go through one by one."""
        return self.kind is not Kind.ROUNDED and int(self.sizes[0]) <= SMALL_ELEMENTS

    @property
    def known_low(self) -> Floats:
        """The least that the elements counted at each value can be, float64 [K]."""
        return self.low if self.kind is Kind.ROUNDED else self.values

    @property
    def known_high(self) -> Floats:
        """The most they can be."""
        return self.high if self.kind is Kind.ROUNDED else self.values

    def counted_before(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Elements in all entries before each of these, from the first tensor on; K is allowed."""
        return np.where(entries > 0, self.through[entries - 1], 0)

    def share_below(self, entries: NDArray[np.int64]) -> Floats:
        """Of these entries, the share of their tensor's elements that are smaller."""
        owner = self.owner[entries]
        below: Floats = self.through[entries] - self.counts[entries] - self.before[owner]
        return below / self.sizes[owner]

    def share_through(self, entries: NDArray[np.int64]) -> Floats:
        """Of these entries, the share of their tensor's elements up to and with them."""
        owner = self.owner[entries]
        share: Floats = (self.through[entries] - self.before[owner]) / self.sizes[owner]
        return share

    def in_own_unit(self, per_tensor: Floats) -> Floats:
        """[T] or [T, P] in the tensors' own unit; infinite where that exceeds float64."""
        return np.ldexp(per_tensor, self.exponent.reshape(-1, *[1] * (per_tensor.ndim - 1)))

    def select(self, tensors: NDArray[np.bool_]) -> Stack:
        """The stack of some of the tensors, [T] chosen."""
        entries = self.spread(tensors)
        exact = self.low is self.values
        values = self.values[entries]
        lengths = self.lengths[tensors]
        return Stack(
            kind=self.kind,
            exponent=self.exponent[tensors],
            values=values,
            low=values if exact else self.low[entries],
            high=values if exact else self.high[entries],
            counts=self.counts[entries],
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            sizes=self.sizes[tensors],
        )

    def quantiles(self, probabilities: Floats, *, smooth: bool = False) -> Floats:
        """Quantiles, float64 [T, P], at probabilities [P] in [0, 1].

        Linear between the order statistics around (n - 1) p, which is numpy's default. Rounded
        elements are taken as evenly spread over their interval; with ``smooth`` those of a 16-bit
        format too, so that the number grid itself shows no modes.
        """
        return self.at_positions(probabilities * (self.sizes[:, None] - 1), smooth=smooth)

    def at_positions(self, position: Floats, *, smooth: bool = False) -> Floats:
        """Between the order statistics 0, 1, ... of each tensor, linearly, at position [T, P]."""
        local = np.floor(position).astype(np.int64)
        fraction = position - local
        rank = local + self.before[:, None]
        index = self.through.searchsorted(rank, side="right")
        through = self.through[index]
        if self.kind is Kind.EXACT or (self.kind is Kind.GRID and not smooth):
            found = self.values[index]
        else:
            # Inside an interval the elements are evenly spaced: linear in the position.
            first, count = self.low[index], self.counts[index]
            place = (rank - through) + count + 0.5 + fraction
            found = first + (self.high[index] - first) * (place / count)
        across = np.nonzero(rank + 1 == through)
        low, high = self._neighbours(rank[across], index[across], across[0], smooth=smooth)
        fraction, width = fraction[across], high - low
        # From the nearer end, so that neither end is missed by a rounding error.
        found[across] = np.where(
            fraction < 0.5, low + width * fraction, high - width * (1.0 - fraction)
        )
        return found

    def order_statistics(self, *, smooth: bool = False) -> Floats:
        """All elements, ascending within each tensor, float64 [sum of sizes]."""
        if self.values.size == self.sizes.sum():
            index = np.arange(self.values.size)
        else:
            index = np.repeat(np.arange(self.values.size), self.counts.astype(np.int64))
        if self.kind is Kind.EXACT or (self.kind is Kind.GRID and not smooth):
            return self.values[index]
        place = np.arange(index.size) - (self.through - self.counts)[index] + 0.5
        return self.low[index] + (self.high - self.low)[index] * (place / self.counts[index])

    def below(self, points: Floats, *, smooth: bool = False) -> Floats:
        """How many elements of each tensor are below its points [T, P]; float64 [T, P].

        An element exactly at a point counts half; an interval across a point counts in proportion.
        Of 16-bit formats the elements are where they are, or with ``smooth`` all over the interval.
        """
        ends = self.low, self.high
        if self.kind is Kind.GRID and not smooth:
            ends = self.values, self.values
        low, high = ends
        side_left, side_right = (np.empty(points.shape, dtype=np.int64) for _ in range(2))
        for row, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            own = high[start : start + length]
            side_left[row] = own.searchsorted(points[row], side="left")
            side_right[row] = own.searchsorted(points[row], side="right")
        return (
            self._count_before(side_left, points, low, high)
            + self._count_before(side_right, points, low, high)
        ) / 2

    def between(self, low: Floats, high: Floats, *, closed: bool) -> Floats:
        """How many elements lie between two points [T, P], or with ``closed`` on them too.

        Float64 [T, P]; a rounded element's interval across a point counts in proportion.
        """
        exact = self.kind is not Kind.ROUNDED
        ends = (self.values, self.values) if exact else (self.low, self.high)
        places = np.empty((2, *low.shape), dtype=np.int64)
        for row, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            own = ends[1][start : start + length]
            places[0, row] = own.searchsorted(low[row], side="left" if closed else "right")
            places[1, row] = own.searchsorted(high[row], side="right" if closed else "left")
        inside: Floats = self._count_before(places[1], high, *ends)
        inside -= self._count_before(places[0], low, *ends)
        return inside

    def _count_before(
        self, place: NDArray[np.int64], points: Floats, low: Floats, high: Floats
    ) -> Floats:
        """Elements in the entries before ``place`` and in the part of that entry below."""
        beyond = place == self.lengths[:, None]
        entry = self.starts[:, None] + np.where(beyond, 0, place)
        count = self.counts[entry]
        below = self.through[entry] - count - self.before[:, None]
        if low is not high:
            first, width = low[entry], high[entry] - low[entry]
            inside = (points > first) & (width > 0)
            part = (points - first) / np.where(inside, width, 1.0)
            below += np.where(inside, np.minimum(part, 1.0), 0.0) * count
        return np.where(beyond, self.sizes[:, None], below)

    def _neighbours(
        self,
        rank: NDArray[np.int64],
        index: NDArray[np.intp],
        tensor: NDArray[np.intp],
        *,
        smooth: bool,
    ) -> tuple[Floats, Floats]:
        """The last element of an entry and the first of the next one of the same tensor, if any."""
        end = self.before + self.sizes
        following = index + (rank + 1 < end[tensor])
        if self.kind is Kind.EXACT or (self.kind is Kind.GRID and not smooth):
            return self.values[index], self.values[following]
        half, next_half = 0.5 / self.counts[index], 0.5 / self.counts[following]
        last = self.high[index] - (self.high[index] - self.low[index]) * half
        width = self.high[following] - self.low[following]
        same = following == index
        return last, np.where(same, last, self.low[following] + width * next_half)


def stack(distributions: Sequence[Distribution]) -> Stack:
    """Puts distributions of one group (``group_of``) end to end; none may be empty."""
    kind = _kind_of(distributions[0])
    values = np.concatenate([d.values for d in distributions])
    lengths = np.array([d.values.size for d in distributions])
    starts = np.cumsum(lengths) - lengths
    largest = np.maximum(-values[starts], values[starts + lengths - 1])
    exponent = np.frexp(np.maximum(largest, np.abs(values[starts])))[1].astype(np.int64)
    values = _scaled(values, exponent, lengths)
    low = high = values
    if kind is not Kind.EXACT:
        low, high = (
            _scaled(
                np.concatenate([d.bins[end] for d in distributions if d.bins]), exponent, lengths
            )
            for end in (0, 1)
        )
    return Stack(
        kind=kind,
        exponent=exponent,
        values=values,
        low=low,
        high=high,
        counts=np.concatenate([d.counts for d in distributions]).astype(np.float64),
        starts=starts,
        lengths=lengths,
        sizes=np.array([d.size for d in distributions]),
    )


def _scaled(values: Floats, exponent: NDArray[np.int64], lengths: NDArray[np.int64]) -> Floats:
    """The values times 2^-exponent of their tensor."""
    if np.max(np.abs(exponent)) > _SAFE_EXPONENT:
        return np.ldexp(values, np.repeat(-exponent, lengths))
    values *= np.repeat(np.ldexp(1.0, -exponent), lengths)
    return values
