"""The shape class of weights by fits to all of them, and how far they are from another class."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from bifurk_service.stats.rows.elements import SHAPE_CLASSES
from tests.stats.oracle import expected_dip

Floats = NDArray[np.float64]

GAIN_UNIT = 0.01
"""Nats per element in which a better likelihood is counted."""
EM_ROUNDS = 200
STUDENT_POINTS = 2_000


def expected_class(weights: Floats) -> tuple[str, float]:
    """The class and its margin: the smallest relative change of a measure that would change it."""
    scores = _scores(weights.reshape(-1))
    place = next(i for i, name in enumerate(SHAPE_CLASSES) if scores[name] > 0)
    chosen = SHAPE_CLASSES[place]
    entering = [-scores[name] for name in SHAPE_CLASSES[:place]]
    return chosen, min([scores[chosen], *entering])


def _scores(w: Floats) -> dict[str, float]:
    """By class, the smallest slack of its conditions; above 0 it holds."""
    skewness, kurtosis = scipy.stats.skew(w), scipy.stats.kurtosis(w)
    distance = scipy.stats.kstest(w, "norm", args=(np.mean(w), np.std(w))).statistic
    dip_ratio = expected_dip(w) / max(0.0025, 0.75 / np.sqrt(w.size))
    sharp = min(_above(kurtosis, 0.5), _below(kurtosis, 6))
    wide = _above(kurtosis, 6)
    if wide > 0:
        ratio, minor = mixture(w)
        wide = min(wide, _above(ratio, 5), _below(minor, 0.2))
    if sharp > 0:
        sharp = min(sharp, sharper_than_gaussian(w) / GAIN_UNIT)
    return {
        "degenerate": _below(np.unique(w).size, 32),
        "multimodal": _above(dip_ratio, 1),
        "gaussian": min(
            _below(abs(skewness), 0.1), _below(abs(kurtosis), 0.5), _below(distance, 0.02)
        ),
        "scale_mixture": wide,
        "laplace_like": sharp,
        "flat": _above(-kurtosis, 0.5),
        "other": np.inf,
    }


def _below(value: float, threshold: float) -> float:
    return (threshold - value) / threshold


def _above(value: float, threshold: float) -> float:
    return (value - threshold) / threshold


def sharper_than_gaussian(w: Floats) -> float:
    """Log-likelihood per element over the best Gaussian's, nats: of a Laplace, else of a Student.

    The Student is fitted to quantiles, and pays 1/n for its third parameter as AIC has it.
    """
    gaussian = np.mean(scipy.stats.norm.logpdf(w, np.mean(w), np.std(w)))
    laplace = np.mean(scipy.stats.laplace.logpdf(w, *scipy.stats.laplace.fit(w)))
    if laplace > gaussian:
        return float(laplace - gaussian)
    points = np.quantile(w, (np.arange(STUDENT_POINTS) + 0.5) / STUDENT_POINTS) - np.median(w)

    def loss(parameters: Floats) -> float:
        degrees, scale = np.exp(parameters)
        return -float(np.mean(scipy.stats.t.logpdf(points, degrees, 0, scale)))

    best = scipy.optimize.minimize(loss, np.log([4.0, np.std(w)]), method="Nelder-Mead")
    return float(-best.fun - gaussian - 1 / w.size)


def mixture(w: Floats) -> tuple[float, float]:
    """Ratio of standard deviations and smaller weight of two Gaussians about the median."""
    square = (w - np.median(w)) ** 2
    narrow, wide, weight = 1.4826**2 * np.median(square), 9 * np.mean(square), 0.1
    for _ in range(EM_ROUNDS):
        odds = (1 - weight) / weight * np.sqrt(wide / narrow)
        share = 1 / (1 + odds * np.exp(square / 2 * (1 / wide - 1 / narrow)))
        weight = float(np.mean(share))
        wide = np.average(square, weights=share)
        narrow = np.average(square, weights=1 - share)
    ratio = float(np.sqrt(wide / narrow))
    return max(ratio, 1 / ratio), min(weight, 1 - weight)
