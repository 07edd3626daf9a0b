"""What kind of distribution a tensor has, and how sure that is.

The classes follow what Si, Jiang and Shen 2025 see in optimal weights (Gaussian, "sharp",
"inverted T"); thresholds, order and margins are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bifurk_service.stats.elements.shape_fits import coarse, laplace_gain, mixture, student_gain
from bifurk_service.stats.elements.stack import Floats, Stack
from bifurk_service.stats.rows.elements import SHAPE_CLASSES

DISTINCT_VALUES: Final = 32
"""Fewer distinct values are ``degenerate``."""
DIP_RATIO: Final = 1.0
"""Above it a density is ``multimodal``."""
GAUSSIAN_SKEWNESS: Final = 0.1
"""|skewness| of a ``gaussian`` is below."""
GAUSSIAN_KURTOSIS: Final = 0.5
"""|excess kurtosis| of a ``gaussian`` is below; above it is ``laplace_like`` at least, and below
its negative ``flat``."""
GAUSSIAN_DISTANCE: Final = 0.02
"""Kolmogorov-Smirnov distance to the fitted Gaussian of a ``gaussian`` is below."""
MIXTURE_KURTOSIS: Final = 6.0
"""Excess kurtosis of a ``scale_mixture`` is above, of a ``laplace_like`` below."""
MIXTURE_STD_RATIO: Final = 5.0
"""The two Gaussians of a ``scale_mixture`` differ by more in standard deviation."""
MIXTURE_MINOR_WEIGHT: Final = 0.2
"""The rarer of them holds less of the elements."""
GAIN_UNIT: Final = 0.01
"""Log-likelihood per element, in nats, by which the margin of ``laplace_like`` is counted; its
threshold is zero and can be no unit."""

CLASS_STEPS: Final = 32
"""A 16-bit format's steps in a standard deviation below which no class is told: its own steps make
a distance to the Gaussian of up to 0.2/steps, at 32 still 0.00625."""

_INFINITE: Final = np.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measures:
    """What the class is decided from, float64 [T]; the stored statistics of these names.

    ``std`` and ``median`` are in the stack's unit, ``deviation`` is the body's robust one.
    """

    skewness: Floats
    excess_kurtosis: Floats
    gaussian_ks_distance: Floats
    dip_ratio: Floats
    std: Floats
    median: Floats
    deviation: Floats


def shape_classes(tensors: Stack, measures: Measures) -> tuple[Floats, Floats]:
    """Class, as its place in ``SHAPE_CLASSES``, and margin of every tensor, each float64 [T].

    Every condition x < threshold has the slack (threshold - x)/threshold, x > threshold its
    negative; a class holds where all its slacks are above 0, and the smallest is its score. The
    class is the first that holds. The margin is the smallest of its own score and, of each class
    tried before, the negative score: the relative change after which that one would hold.
    """
    scores = _scores(tensors, measures)
    holds = scores > 0.0
    chosen = holds.argmax(axis=1)
    before = np.arange(len(SHAPE_CLASSES)) < chosen[:, None]
    own = scores[np.arange(chosen.size), chosen]
    entering = np.where(before, -scores, _INFINITE).min(axis=1)
    return chosen.astype(np.float64), np.minimum(own, entering)


def _scores(tensors: Stack, m: Measures) -> Floats:
    """The smallest slack of every class, float64 [T, classes] in the order of ``SHAPE_CLASSES``."""
    kurtosis = m.excess_kurtosis
    by_class = {
        "degenerate": _below(tensors.lengths.astype(np.float64), DISTINCT_VALUES),
        "multimodal": -_below(m.dip_ratio, DIP_RATIO),
        "gaussian": np.minimum.reduce(
            [
                _below(np.abs(m.skewness), GAUSSIAN_SKEWNESS),
                _below(np.abs(kurtosis), GAUSSIAN_KURTOSIS),
                _below(m.gaussian_ks_distance, GAUSSIAN_DISTANCE),
            ]
        ),
        "scale_mixture": np.minimum(-_below(kurtosis, MIXTURE_KURTOSIS), _mixture(tensors, m)),
        "laplace_like": np.minimum.reduce(
            [
                -_below(kurtosis, GAUSSIAN_KURTOSIS),
                _below(kurtosis, MIXTURE_KURTOSIS),
                _sharper_than_gaussian(tensors, m),
            ]
        ),
        "flat": -_below(-kurtosis, GAUSSIAN_KURTOSIS),
        "other": np.full(kurtosis.size, _INFINITE),
    }
    return np.stack([by_class[name] for name in SHAPE_CLASSES], axis=1)


def _below(value: Floats, threshold: float) -> Floats:
    """Slack of value < threshold."""
    return (threshold - value) / threshold


def _mixture(tensors: Stack, m: Measures) -> Floats:
    """Slack of the mixture's conditions; infinite where the kurtosis already says no."""
    slack = np.full(m.std.size, _INFINITE)
    heavy = m.excess_kurtosis > MIXTURE_KURTOSIS
    if heavy.any():
        deviations = coarse(tensors.select(heavy), m.median[heavy], m.std[heavy])
        fit = mixture(deviations, m.deviation[heavy] / m.std[heavy])
        slack[heavy] = np.minimum(
            -_below(fit.std_ratio, MIXTURE_STD_RATIO),
            _below(fit.minor_weight, MIXTURE_MINOR_WEIGHT),
        )
    return slack


def _sharper_than_gaussian(tensors: Stack, m: Measures) -> Floats:
    """Gain of a Laplace, or where that has none of a Student, in ``GAIN_UNIT``.

    Infinite where the kurtosis already says no.
    """
    gain = np.full(m.std.size, _INFINITE)
    sharp = (m.excess_kurtosis > GAUSSIAN_KURTOSIS) & (m.excess_kurtosis < MIXTURE_KURTOSIS)
    if sharp.any():
        gain[sharp] = laplace_gain(tensors.select(sharp), m.median[sharp], m.std[sharp])
    left = sharp & ~(gain > 0.0)
    if left.any():
        deviations = coarse(tensors.select(left), m.median[left], m.std[left])
        gain[left] = np.maximum(gain[left], student_gain(deviations, tensors.sizes[left]))
    return gain / GAIN_UNIT
