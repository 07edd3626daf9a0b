"""How far the elements are from the Gaussian of their mean and standard deviation."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, xlogy

from bifurk_service.stats.elements.stack import Floats, Kind, Stack
from bifurk_service.stats.elements.stacked_moments import StackedMoments

CELLS: Final = 128
"""Of the Jensen-Shannon divergence: a Gaussian has equal shares in them, so that sampling adds
about CELLS/(8 n) and no more wherever the Gaussian itself lies."""
_BLOCK: Final = 8
"""Entries that are looked at together first."""

_EDGES: Final[Floats] = ndtri(np.arange(1, CELLS) / CELLS)


def ks_distances(tensors: Stack, about: StackedMoments) -> Floats:
    """Largest |F(w) - Phi((w - mean)/std)|, float64 [T]; NaN without a spread.

    Both sides of every step; of rounded values the ends of their intervals, where F is known.
    Both functions rise, so over a block of entries the gap cannot exceed what the block's ends
    allow; only blocks that may hold the largest gap are looked at entry by entry.
    """
    heads, tails, first_block = _blocks(tensors)
    below = tensors.share_below(heads)
    through = tensors.share_through(tails)
    fitted_low = _fitted(tensors, about, heads, tensors.known_low)
    fitted_high = _fitted(tensors, about, tails, tensors.known_high)
    reached = np.maximum(np.abs(below - fitted_low), np.abs(through - fitted_high))
    possible = np.maximum(through - fitted_low, fitted_high - below)
    largest = np.maximum.reduceat(reached, first_block)
    left = np.flatnonzero(possible > largest[tensors.owner[heads]])
    entries = _entries_of(heads[left], tails[left])
    np.maximum.at(largest, tensors.owner[entries], _gaps(tensors, about, entries))
    return np.asarray(largest)


def js_divergences(tensors: Stack, about: StackedMoments) -> Floats:
    """Jensen-Shannon divergence, in nats, from the fitted Gaussian, float64 [T] in [0, ln 2].

    Over ``CELLS`` cells of which the Gaussian holds equal shares (Lin 1991). An element exactly on
    an edge counts half to each side; those of a 16-bit format are spread over their intervals, so
    that the number grid itself makes no distance.
    """
    edges = about.mean[:, None] + about.std[:, None] * _EDGES
    below = tensors.below(edges, smooth=True) / tensors.sizes[:, None]
    share = np.diff(below, axis=1, prepend=0.0, append=1.0)
    expected = 1.0 / CELLS
    middle = (share + expected) / 2
    divergence = xlogy(share, share / middle) + expected * np.log(expected / middle)
    return np.asarray(np.clip(divergence.sum(axis=1) / 2, 0.0, np.log(2.0)), dtype=np.float64)


def _blocks(
    tensors: Stack,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First and last entry of every block, and each tensor's first block."""
    per_tensor = (tensors.lengths + _BLOCK - 1) // _BLOCK
    first_block = np.cumsum(per_tensor) - per_tensor
    number = np.arange(per_tensor.sum()) - np.repeat(first_block, per_tensor)
    heads = np.repeat(tensors.starts, per_tensor) + number * _BLOCK
    ends = np.repeat(tensors.starts + tensors.lengths, per_tensor)
    return heads, np.minimum(heads + _BLOCK, ends) - 1, first_block


def _entries_of(heads: NDArray[np.int64], tails: NDArray[np.int64]) -> NDArray[np.int64]:
    lengths = tails - heads + 1
    before = np.cumsum(lengths) - lengths
    entries: NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(heads - before, lengths)
    return entries


def _gaps(tensors: Stack, about: StackedMoments, entries: NDArray[np.int64]) -> Floats:
    """The larger of the gaps just below and just above each of these ascending entries."""
    low = _fitted(tensors, about, entries, tensors.known_low)
    high = low
    if tensors.kind is Kind.ROUNDED:
        # Most intervals end where the next one begins, at a value that is known already.
        owner, upper = tensors.owner[entries], tensors.high[entries]
        meets = (upper[:-1] == tensors.low[entries[1:]]) & (owner[:-1] == owner[1:])
        apart = np.flatnonzero(~np.append(meets, np.zeros(min(1, entries.size), dtype=bool)))
        high = np.append(low[1:], low[:1])
        high[apart] = _fitted(tensors, about, entries[apart], tensors.high)
    below, above = tensors.share_below(entries) - low, tensors.share_through(entries) - high
    return np.asarray(np.maximum(np.abs(below), np.abs(above)))


def _fitted(
    tensors: Stack, about: StackedMoments, entries: NDArray[np.int64], at: Floats
) -> Floats:
    """The Gaussian's distribution function at [K] values of these entries."""
    owner = tensors.owner[entries]
    return np.asarray(ndtr((at[entries] - about.mean[owner]) / about.std[owner]))
