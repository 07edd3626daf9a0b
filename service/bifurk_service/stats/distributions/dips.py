"""Hartigan's dip of many samples at once: ``dip`` in step for all of them.

Each round of the iteration costs the same array operations whatever the number of samples. Both
regressions of a round are one call for all: sample by sample the gaps are multiplied by a power of
two, so that those of different samples never pool, and no digit changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from bifurk_service.stats.distributions.dip import MINIMUM_SIZE, dip
from bifurk_service.stats.distributions.distribution import run_lengths

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_POINTS_AT_ONCE: Final = 131_072
"""Points that go through the rounds together: arrays of a megabyte."""
_EXPONENTS: Final = 1_800
"""Powers of two that the gaps of samples in one regression may span; float64 has 2,046 in which it
loses no digit, and sums of gaps need some."""


def dips(points: Floats, lengths: Indices) -> Floats:
    """The dip of every sample, float64 [T]; equals ``dip`` of each.

    Args:
        points: the samples end to end, each ascending and below 2 in magnitude.
        lengths: of each, at least 1.
    """
    starts = np.cumsum(lengths) - lengths
    distances = np.empty(lengths.size)
    gaps = np.empty(points.size)
    np.subtract(points[1:], points[:-1], out=gaps[:-1])
    gaps[starts + lengths - 1] = np.inf
    smallest = np.minimum.reduceat(gaps, starts)
    # Ties are vertical steps, and need an infinite range of exponents.
    alone = (smallest < np.finfo(np.float64).tiny) | (lengths < MINIMUM_SIZE)
    for index in np.flatnonzero(alone).tolist():
        start = starts[index]
        distances[index] = dip(points[start : start + lengths[index]])
    gaps[starts + lengths - 1] = 0.0
    low = np.frexp(smallest)[1] - 1
    high = np.frexp(np.maximum.reduceat(gaps, starts))[1]
    for group in _groups(np.flatnonzero(~alone), high - low, lengths):
        slots = _Slots.of(low[group], high[group])
        window = _first_window(points, starts[group], lengths[group], slots)
        distances[group] = _unavoidable(window, slots) / (2 * lengths[group])
    return distances


def _groups(samples: Indices, octaves: Indices, lengths: Indices) -> Iterator[Indices]:
    """Samples that share a regression: few enough points, few enough powers of two."""
    group: list[int] = []
    points = exponents = 0
    for sample in samples.tolist():
        more, needed = int(lengths[sample]), int(octaves[sample]) + 2
        if group and (points + more > _POINTS_AT_ONCE or exponents + needed > _EXPONENTS):
            yield np.array(group)
            group, points, exponents = [], 0, 0
        group.append(sample)
        points, exponents = points + more, exponents + needed
    if group:
        yield np.array(group)


class _Slots(NamedTuple):
    """The powers of two given to each sample of a group [S].

    ``rising`` and ``falling`` multiply the gaps so that each sample's are all above, or all below,
    those of the samples before it; ``over`` and ``under`` mark a sample's end: above all its own
    gaps and below the next sample's, or the other way round.
    """

    rising: Floats
    falling: Floats
    over: Floats
    under: Floats

    @classmethod
    def of(cls, low: Indices, high: Indices) -> _Slots:
        """Gaps are at least 2^low and below 2^high."""
        needed = high - low + 2
        floor = np.cumsum(needed) - needed - needed.sum() // 2
        ceiling = needed.sum() // 2 - np.cumsum(needed)
        return cls(
            rising=(floor + 1 - low).astype(np.float64),
            falling=(ceiling + 1 - low).astype(np.float64),
            over=np.ldexp(1.0, floor + needed - 1),
            under=np.ldexp(1.0, ceiling),
        )


class _Window(NamedTuple):
    """The modal intervals that are left, end to end, and where each starts and how long it is.

    ``rising`` and ``falling`` are the gaps from each point to the next, scaled as in ``_Slots``.
    """

    points: Floats
    starts: Indices
    lengths: Indices
    rising: Floats
    falling: Floats


class _Hull(NamedTuple):
    """A polygon over every window, given by the points where it touches.

    Attributes:
        touch: the places of these points. owner: the window of each.
        heads: [S], each window's first.
        value, rank: of each, its abscissa and ordinate. slope: from each to the next, 0 at an end.
    """

    touch: Indices
    owner: Indices
    heads: Indices
    value: Floats
    rank: Floats
    slope: Floats

    def at(self, segment: Indices, points: Floats) -> Floats:
        """The polygon's height at points, each on the segment behind a touching point."""
        height = points - self.value[segment]
        height *= self.slope[segment]
        height += self.rank[segment]
        return height


def _first_window(points: Floats, starts: Indices, lengths: Indices, slots: _Slots) -> _Window:
    """Whole samples."""
    parts = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    chosen = np.concatenate([points[start:end] for start, end in parts])
    gaps = np.zeros(chosen.size)
    np.subtract(chosen[1:], chosen[:-1], out=gaps[:-1])
    return _Window(
        points=chosen,
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        rising=_times_power(gaps, slots.rising, lengths),
        falling=_times_power(gaps, slots.falling, lengths),
    )


def _times_power(gaps: Floats, exponent: Floats, lengths: Indices) -> Floats:
    """The gaps times 2^exponent of their sample, in two factors that both are finite."""
    half = np.trunc(exponent / 2)
    scaled: Floats = gaps * np.repeat(np.exp2(half), lengths)
    scaled *= np.repeat(np.exp2(exponent - half), lengths)
    return scaled


def _smaller(window: _Window, starts: Indices, lengths: Indices) -> _Window:
    """The part of each remaining window that starts at a point and has a length."""
    parts = list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))

    def kept(per_point: Floats) -> Floats:
        if not parts:
            return per_point[:0]
        return np.concatenate([per_point[start:end] for start, end in parts])

    return _Window(
        points=kept(window.points),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        rising=kept(window.rising),
        falling=kept(window.falling),
    )


def _unavoidable(window: _Window, slots: _Slots) -> Floats:
    """The largest distance in ranks that no unimodal distribution can avoid, float64 [S]."""
    found = np.ones(window.lengths.size)
    sample = np.arange(window.lengths.size)
    while sample.size:
        ends = window.starts + window.lengths - 1
        window.rising[ends], window.falling[ends] = slots.over[sample], slots.under[sample]
        minorant = _hull(window, window.falling, increasing=False)
        majorant = _hull(window, window.rising, increasing=True)
        left, right, gap = _modal_intervals(window, minorant, majorant)
        going = gap > found[sample]
        outside = np.maximum(
            _largest_below(window, minorant, left), _largest_above(window, majorant, right)
        )
        found[sample] = np.where(going, np.maximum(found[sample], outside), found[sample])
        width = right - left
        going &= (width > 0) & (width < window.lengths - 1)
        window = _smaller(window, left[going], (width + 1)[going])
        sample = sample[going]
    return found


def _hull(window: _Window, gaps: Floats, *, increasing: bool) -> _Hull:
    """The least concave majorant (increasing gaps) or the greatest convex minorant.

    As in ``dip``: the starts of the regression's blocks are where the hull touches; the mark at
    each window's end is a block of its own.
    """
    touch = isotonic_regression(gaps, increasing=increasing).blocks[:-1].astype(np.int64)
    heads = np.searchsorted(touch, window.starts)
    owner = np.repeat(np.arange(heads.size), run_lengths(heads, touch.size))
    value = window.points[touch]
    rank = (touch - window.starts[owner]).astype(np.float64)
    slope = np.zeros(touch.size)
    # Across a window's end there is no slope, whatever is computed, and behind it a single point.
    with np.errstate(all="ignore"):
        np.divide(touch[1:] - touch[:-1], value[1:] - value[:-1], out=slope[:-1])
    slope[heads[1:] - 1] = 0.0
    return _Hull(touch, owner, heads, value, rank, slope)


def _modal_intervals(
    window: _Window, minorant: _Hull, majorant: _Hull
) -> tuple[Indices, Indices, Floats]:
    """Where the two fits are farthest apart, as places, and how far; each [S]."""
    segment = majorant.touch.searchsorted(minorant.touch, side="right") - 1
    low_gap, low_at = _first_largest(minorant, majorant.at(segment, minorant.value) - minorant.rank)
    segment = minorant.touch.searchsorted(majorant.touch, side="right") - 1
    high_gap, high_at = _first_largest(
        majorant, majorant.rank - minorant.at(segment, majorant.value)
    )
    low_leads = low_gap > high_gap
    far = window.points.size
    after = np.where(majorant.touch >= low_at[majorant.owner], majorant.touch, far)
    before = np.where(minorant.touch <= high_at[minorant.owner], minorant.touch, -1)
    right = np.where(low_leads, np.minimum.reduceat(after, majorant.heads), high_at)
    left = np.where(low_leads, low_at, np.maximum.reduceat(before, minorant.heads))
    return left, right, np.maximum(low_gap, high_gap) + 1.0


def _first_largest(hull: _Hull, gap: Floats) -> tuple[Floats, Indices]:
    """The largest gap at the touching points, and the first of them that has it; each [S]."""
    largest = np.maximum.reduceat(gap, hull.heads)
    at = np.where(gap == largest[hull.owner], hull.touch, np.iinfo(np.int64).max)
    return largest, np.minimum.reduceat(at, hull.heads)


def _largest_below(window: _Window, minorant: _Hull, left: Indices) -> Floats:
    """How far the empirical function is above the minorant before ``left``, in ranks, [S].

    ``left`` touches, so the segments before it are whole.
    """
    return _largest_over(
        window, minorant, minorant.touch < left[minorant.owner], left - window.starts, sign=1.0
    )


def _largest_above(window: _Window, majorant: _Hull, right: Indices) -> Floats:
    """How far it is below the majorant from ``right`` on, in ranks, [S]."""
    lengths = window.starts + window.lengths - right
    return _largest_over(
        window, majorant, majorant.touch >= right[majorant.owner], lengths, sign=-1.0
    )


def _largest_over(
    window: _Window, hull: _Hull, chosen: NDArray[np.bool_], lengths: Indices, *, sign: float
) -> Floats:
    """Largest sign x (rank - fit) + 1 over some segments; ``lengths`` [S] points a window."""
    largest = np.ones(lengths.size)
    segments = np.flatnonzero(chosen)
    if not segments.size:
        return largest
    spans = run_lengths(hull.touch, window.points.size)[segments]
    ends = np.cumsum(spans)
    place = np.arange(ends[-1]) + np.repeat(hull.touch[segments] - (ends - spans), spans)
    segment = np.repeat(segments, spans)
    rank = place - window.starts[hull.owner[segments]].repeat(spans)
    distance = sign * (rank - hull.at(segment, window.points[place]))
    some = lengths > 0
    first = (np.cumsum(lengths) - lengths)[some]
    largest[some] += np.maximum(np.maximum.reduceat(distance, first), 0.0)
    return largest
