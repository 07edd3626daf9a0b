"""Laws other than the Gaussian that a tensor's deviations may follow better.

All are symmetric about the median. Laplace has a closed form; Student and the mixture of two
Gaussians are fitted to a coarse representation of the deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from bifurk_service.stats.elements.stack import Floats, Stack

CELLS_PER_OCTAVE: Final = 4
"""Of the deviation's logarithm; a cell keeps its own mean square, so that second moments stay exact
and only the law inside a cell is lost."""
OCTAVES_BELOW: Final = 8
"""Octaves below the standard deviation that are told apart; what is nearer is one cell."""
OCTAVES_ABOVE: Final = 18
"""Octaves above it: sqrt(n) standard deviations are the farthest that n values can have."""
STUDENT_DEGREES: Final = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0, 16.0, 24.0, 40.0)
"""Degrees of freedom that are tried; the best between two of them is not looked for, so the
likelihood is a lower bound."""

_STUDENT_ROUNDS: Final = 30
_MIXTURE_ROUNDS: Final = 100
"""Steps of expectation and maximisation; more move the classes' margins by less than 0.01."""
_CELLS: Final = CELLS_PER_OCTAVE * (OCTAVES_BELOW + OCTAVES_ABOVE)
_SMALLEST: Final = 2.0**-40
"""Mean square, over the variance, below which all are taken as equal: exact zeros."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coarse:
    """Deviations from the median of S tensors, in standard deviations, by cells of magnitude.

    Attributes:
        squares: mean square of each cell's, float64 [S, B]; over the variance.
        shares: of the elements in each cell, float64 [S, B].
    """

    squares: Floats
    shares: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """Two Gaussians about the median, float64 [S].

    Attributes:
        std_ratio: of the wider to the narrower. minor_weight: the smaller of the two weights.
    """

    std_ratio: Floats
    minor_weight: Floats


def coarse(tensors: Stack, median: Floats, std: Floats) -> Coarse:
    """The coarse representation of S tensors; all have a spread."""
    scaled = (tensors.values - tensors.spread(median)) / tensors.spread(std)
    squares = scaled * scaled
    octave = np.log2(np.maximum(squares, 4.0**-OCTAVES_BELOW)) / 2 + OCTAVES_BELOW
    cell = np.minimum((octave * CELLS_PER_OCTAVE).astype(np.int64), _CELLS - 1)
    cell += tensors.owner * _CELLS
    size = tensors.lengths.size * _CELLS
    counts = np.bincount(cell, weights=tensors.counts, minlength=size)
    sums = np.bincount(cell, weights=tensors.counts * squares, minlength=size)
    means = sums / np.maximum(counts, 1.0)
    return Coarse(
        squares=np.maximum(means, _SMALLEST).reshape(-1, _CELLS),
        shares=counts.reshape(-1, _CELLS) / tensors.sizes[:, None],
    )


def laplace_gain(tensors: Stack, median: Floats, std: Floats) -> Floats:
    """Log-likelihood per element of the best Laplace over the best Gaussian, nats, float64 [T].

    Both have two parameters, so that AIC per element prefers the Laplace where this is positive.
    """
    deviation = tensors.mean(np.abs(tensors.values - tensors.spread(median)))
    return _gaussian_entropy(std) - (1.0 + np.log(2.0 * deviation))


def student_gain(deviations: Coarse, sizes: NDArray[np.int64]) -> Floats:
    """Log-likelihood per element of the best Student over the best Gaussian, less 1/n, [S].

    The penalty is AIC's for the third parameter. The scale is fitted for each number of degrees.
    """
    degrees = np.array(STUDENT_DEGREES)[:, None]
    squares, shares = deviations.squares[:, None, :], deviations.shares[:, None, :]
    scale = np.ones((squares.shape[0], degrees.size, 1))
    for _ in range(_STUDENT_ROUNDS):
        weight = (degrees + 1) / (degrees + squares / scale)
        scale = np.sum(shares * weight * squares, axis=2, keepdims=True)
    logs = np.sum(shares * np.log1p(squares / (degrees * scale)), axis=2)
    nu = degrees[:, 0]
    likelihood = (
        gammaln((nu + 1) / 2)
        - gammaln(nu / 2)
        - np.log(nu * np.pi * scale[:, :, 0]) / 2
        - (nu + 1) / 2 * logs
    )
    gain: Floats = likelihood.max(axis=1) + _gaussian_entropy(np.ones(1)) - 1.0 / sizes
    return gain


def mixture(deviations: Coarse, inner: Floats) -> Mixture:
    """The two zero-mean Gaussians that fit best, by expectation and maximisation.

    Args:
        deviations: of S tensors.
        inner: [S], the narrower one's standard deviation to start from, in overall ones.
    """
    squares, shares = deviations.squares, deviations.shares
    weight = np.full((squares.shape[0], 1), 0.1)
    narrow = np.maximum(inner[:, None] ** 2, _SMALLEST)
    wide = np.maximum((1.0 - (1.0 - weight) * narrow) / weight, 2.0 * narrow)
    for _ in range(_MIXTURE_ROUNDS):
        odds = np.log(weight / (1.0 - weight)) + np.log(narrow / wide) / 2
        odds = odds + squares * (1.0 / narrow - 1.0 / wide) / 2
        in_wide = shares / (1.0 + np.exp(-odds))
        weight = np.clip(in_wide.sum(axis=1, keepdims=True), 1e-12, 1.0 - 1e-12)
        moment = np.sum(in_wide * squares, axis=1, keepdims=True)
        wide = np.maximum(moment / weight, _SMALLEST)
        narrow = np.maximum((np.sum(shares * squares, 1, keepdims=True) - moment), 0.0)
        narrow = np.maximum(narrow / (1.0 - weight), _SMALLEST)
    weight, ratio = weight[:, 0], np.sqrt(wide / narrow)[:, 0]
    return Mixture(
        std_ratio=np.maximum(ratio, 1.0 / ratio), minor_weight=np.minimum(weight, 1.0 - weight)
    )


def _gaussian_entropy(std: Floats) -> Floats:
    """Minus the log-likelihood per element of the fitted Gaussian."""
    entropy: Floats = np.log(std) + (1.0 + np.log(2.0 * np.pi)) / 2
    return entropy
