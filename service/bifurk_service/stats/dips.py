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

from bifurk_service.stats.dip import MINIMUM_SIZE, dip
from bifurk_service.stats.stack import Floats

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
        window = _first_window(points, starts[group], lengths[group])
        slots = _Slots.of(low[group], high[group])
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
    """The modal intervals that are left, end to end: points, place in the window, lengths.

    ``rising`` and ``falling`` are the gaps from each point to the next, scaled as in ``_Slots``.
    """

    points: Floats
    rank: Floats
    starts: Indices
    lengths: Indices
    rising: Floats
    falling: Floats


class _Hull(NamedTuple):
    """A polygon over every window: its value at each point, and the points where it touches.

    ``heads`` [S] is each window's first among the touching points, ``owner`` their windows.
    """

    fit: Floats
    touch: Indices
    heads: Indices
    owner: Indices


def _first_window(points: Floats, starts: Indices, lengths: Indices) -> _Window:
    """Whole samples, their gaps not scaled yet."""
    new_starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(new_starts, lengths)
    chosen = points[np.repeat(starts, lengths) + place]
    gaps = np.append(np.diff(chosen), 0.0)
    return _Window(chosen, place.astype(np.float64), new_starts, lengths, gaps, gaps)


def _smaller(window: _Window, starts: Indices, lengths: Indices) -> _Window:
    """The part of each remaining window that starts at a point and has a length."""
    new_starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(new_starts, lengths)
    parts = list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))

    def kept(per_point: Floats) -> Floats:
        if not parts:
            return per_point[:0]
        return np.concatenate([per_point[start:end] for start, end in parts])

    return _Window(
        points=kept(window.points),
        rank=place.astype(np.float64),
        starts=new_starts,
        lengths=lengths,
        rising=kept(window.rising),
        falling=kept(window.falling),
    )


def _unavoidable(window: _Window, slots: _Slots) -> Floats:
    """The largest distance in ranks that no unimodal distribution can avoid, float64 [S]."""
    window = window._replace(
        rising=_times_power(window.rising, slots.rising, window.lengths),
        falling=_times_power(window.falling, slots.falling, window.lengths),
    )
    found = np.ones(window.lengths.size)
    sample = np.arange(window.lengths.size)
    while sample.size:
        ends = window.starts + window.lengths - 1
        window.rising[ends], window.falling[ends] = slots.over[sample], slots.under[sample]
        minorant = _hull(window, window.falling, increasing=False)
        majorant = _hull(window, window.rising, increasing=True)
        left, right, gap = _modal_intervals(window, minorant, majorant)
        going = gap > found[sample]
        outside = _largest_outside(window, minorant, majorant, left, right)
        found[sample] = np.where(going, np.maximum(found[sample], outside), found[sample])
        width = right - left
        going &= (width > 0) & (width < window.lengths - 1)
        window = _smaller(window, (window.starts + left)[going], (width + 1)[going])
        sample = sample[going]
    return found


def _times_power(gaps: Floats, exponent: Floats, lengths: Indices) -> Floats:
    """The gaps times 2^exponent of their sample, in two factors that both are finite."""
    half = np.trunc(exponent / 2)
    scaled: Floats = gaps * np.repeat(np.exp2(half), lengths)
    scaled *= np.repeat(np.exp2(exponent - half), lengths)
    return scaled


def _largest_outside(
    window: _Window, minorant: _Hull, majorant: _Hull, left: Indices, right: Indices
) -> Floats:
    """How far the empirical function is from the fits outside the modal interval, [S]."""
    # Windows are cut in two behind ``left``, or before ``right``; only one half counts. A half of
    # no length (``right`` at 0) reads as its first point, where the fit is exact.
    below = window.rank - minorant.fit
    cuts = np.stack([window.starts, window.starts + left + 1], axis=1).ravel()
    cuts[-1] = min(cuts[-1], below.size - 1)
    farthest_below = np.maximum.reduceat(below, cuts)[::2]
    above = majorant.fit - window.rank
    cuts = np.stack([window.starts, window.starts + right], axis=1).ravel()
    farthest_above = np.maximum.reduceat(above, cuts)[1::2]
    distance: Floats = np.maximum(np.maximum(farthest_below, farthest_above), 0.0)
    return distance + 1.0


def _modal_intervals(
    window: _Window, minorant: _Hull, majorant: _Hull
) -> tuple[Indices, Indices, Floats]:
    """Where the two fits are farthest apart, as places [left, right], and how far; each [S]."""
    low_gap, low_at = _first_largest(minorant, majorant, minorant)
    high_gap, high_at = _first_largest(minorant, majorant, majorant)
    low_leads = low_gap > high_gap
    low_touch, high_touch = minorant.touch, majorant.touch
    far = np.iinfo(np.int64).max
    after = np.where(high_touch >= low_at[majorant.owner], high_touch, far)
    before = np.where(low_touch <= high_at[minorant.owner], low_touch, -1)
    right = np.where(low_leads, np.minimum.reduceat(after, majorant.heads), high_at)
    left = np.where(low_leads, low_at, np.maximum.reduceat(before, minorant.heads))
    return left - window.starts, right - window.starts, np.maximum(low_gap, high_gap) + 1.0


def _first_largest(minorant: _Hull, majorant: _Hull, hull: _Hull) -> tuple[Floats, Indices]:
    """The largest gap at the touching points of ``hull``, and the first that has it; each [S]."""
    gap = majorant.fit[hull.touch] - minorant.fit[hull.touch]
    largest = np.maximum.reduceat(gap, hull.heads)
    has_it = gap == largest[hull.owner]
    at = np.where(has_it, hull.touch, np.iinfo(np.int64).max)
    return largest, np.minimum.reduceat(at, hull.heads)


def _hull(window: _Window, gaps: Floats, *, increasing: bool) -> _Hull:
    """The least concave majorant (increasing gaps) or the greatest convex minorant.

    As in ``dip``: the starts of the regression's blocks are where the hull touches; the mark at
    each window's end is a block of its own.
    """
    touch = isotonic_regression(gaps, increasing=increasing).blocks[:-1].astype(np.int64)
    heads = np.searchsorted(touch, window.starts)
    run = touch[1:] - touch[:-1]
    corner = window.points[touch]
    slope = np.zeros(touch.size)
    # Across a window's end there is no slope, whatever is computed, and behind it a single point.
    with np.errstate(all="ignore"):
        np.divide(run, corner[1:] - corner[:-1], out=slope[:-1])
    slope[heads[1:] - 1] = 0.0
    spans = np.append(run, 1)
    fit = window.points - np.repeat(corner, spans)
    fit *= np.repeat(slope, spans)
    fit += np.repeat(window.rank[touch], spans)
    owner = np.repeat(np.arange(heads.size), np.diff(heads, append=touch.size))
    return _Hull(fit, touch, heads, owner)
