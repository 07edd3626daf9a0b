"""What every spectrum statistic should be: scipy's decompositions and integrals in float64.

Written from the definitions in the table of statistics and nothing else of the code under test:
the Marchenko-Pastur law is integrated numerically, scaled matrices are made and decomposed, every
tail is tried in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRACY_WIDOM = 2.7998
"""99.75 % point of the Tracy-Widom law with beta = 1, by integrating Painleve's second equation."""
INTEGRATION_POINTS = 20_001
"""Of Simpson's rule in the angle, in which the density has no root left: errors below 1e-13."""


@dataclass(frozen=True)
class Bulk:
    sigma: float
    upper_edge: float
    upper_threshold: float
    below: int
    above: int
    ks_distance: float


@dataclass(frozen=True)
class Tail:
    alpha: float
    x_min: float
    ks_distance: float
    count: int


class MarchenkoPastur:
    """The law of singular values of p x n entries with standard deviation 1, p <= n."""

    def __init__(self, p: int, n: int) -> None:
        self.low, self.high = np.sqrt(n) - np.sqrt(p), np.sqrt(n) + np.sqrt(p)
        angle = np.linspace(0, np.pi, INTEGRATION_POINTS)
        self._v = (self.low + self.high) / 2 - (self.high - self.low) / 2 * np.cos(angle)
        # sqrt((high - v)(v - low)) is half the width times sin(angle), and so is dv / d(angle).
        # At v = 0, where the matrix is square, the integrand goes to zero with the angle.
        away = self._v > 0
        root = np.sqrt((self.high + self._v) * (self._v + self.low))
        density = np.divide(root, np.pi * p * self._v, out=np.zeros_like(root), where=away)
        integrand = density * ((self.high - self.low) / 2 * np.sin(angle)) ** 2
        self._shares = scipy.integrate.cumulative_simpson(integrand, x=angle, initial=0.0)

    def distribution(self, v: Floats) -> Floats:
        return np.interp(v, self._v, self._shares)

    def quantiles(self, shares: Floats) -> Floats:
        return np.interp(shares, self._shares, self._v)


def biwhitened(matrix: Floats) -> Floats:
    """Vectors of the shorter side, then of the longer, scaled to unit rms, twice; less their noise.

    The logarithms of the products of the factors lose what noise explains of their spread.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    p, n = wide.shape
    rows, columns = np.ones((p, 1)), np.ones((1, n))
    for _ in range(2):
        rows /= np.sqrt(np.mean((rows * wide * columns) ** 2, axis=1, keepdims=True))
        columns /= np.sqrt(np.mean((rows * wide * columns) ** 2, axis=0, keepdims=True))
    return (
        _less_noise(rows, variance=1 / (2 * n)) * wide * _less_noise(columns, variance=1 / (2 * p))
    )


def _less_noise(factors: Floats, *, variance: float) -> Floats:
    logs = np.log(factors)
    explained = min(1.0, variance / float(np.var(logs)))
    loss, most = explained * (logs - np.mean(logs)), 3 * np.sqrt(variance)
    left: Floats = np.exp(logs - np.minimum(np.maximum(loss, -most), most))
    return left


def expected_bulk(singular: Floats, n: int) -> Bulk | None:
    """The fit to descending singular values of a matrix with longer side n.

    a values above the thresholds and b below leave noise of (p - a - b) x (n - a) entries; that is
    compared with the values between, until the same of them are between again. Each threshold is
    that of the noise there would be if the last value beyond it were noise too. None where under
    half of the values are left, or the matrix is narrower than 32.
    """
    ascending, p = singular[::-1], singular.size
    square = p > 0.9 * n  # nearly: then no lower threshold is told
    law, (lower, upper) = MarchenkoPastur(p, n), _thresholds(p, n)
    sigma = float(np.median(ascending) / law.quantiles(np.array(0.5)))
    seen: list[tuple[int, int]] = []
    while True:
        below = 0 if square else int(np.sum(ascending < lower * sigma))
        above = int(np.sum(ascending > upper * sigma))
        if (below, above) in seen:
            break
        seen.append((below, above))
        bulk = ascending[below : p - above]
        if p < 32 or bulk.size < p / 2:
            return None
        law = MarchenkoPastur(p - above - below, n - above)
        # The last value on each side is doubted: noise would be larger by one with it.
        lower, _ = _thresholds(p - above - max(below - 1, 0), n - above)
        _, upper = _thresholds(p - max(above - 1, 0) - below, n - max(above - 1, 0))
        first, last = int(0.1 * bulk.size), int(0.9 * bulk.size)
        expected = law.quantiles((np.arange(bulk.size) + 0.5) / bulk.size)[first:last]
        (sigma,), *_ = scipy.linalg.lstsq(expected[:, None], bulk[first:last])
    below, above = seen[-1]
    return Bulk(
        sigma=float(sigma),
        upper_edge=float(sigma * law.high),
        upper_threshold=float(sigma * upper),
        below=below,
        above=above,
        ks_distance=float(scipy.stats.ks_1samp(bulk / sigma, law.distribution).statistic),
    )


def _thresholds(p: int, n: int) -> tuple[float, float]:
    """Lower after Ma 2012, upper after Johnstone 2001; of noise with standard deviation 1."""
    root = np.sqrt(n - 0.5) - np.sqrt(p - 0.5)
    spread = root * (1 / np.sqrt(p - 0.5) - 1 / np.sqrt(n - 0.5)) ** (1 / 3)
    tau = spread / root**2 if root else 0.0
    lower = root * np.exp(tau * (tau / 8 - TRACY_WIDOM) / 2) if root else 0.0
    m = np.sqrt(n - 1) + np.sqrt(p)
    scale = m * (1 / np.sqrt(n - 1) + 1 / np.sqrt(p)) ** (1 / 3)
    return float(lower), float(np.sqrt(m**2 + TRACY_WIDOM * scale))


def expected_tail(eigenvalues: Floats) -> Tail:
    """The tail of ascending eigenvalues that lies nearest to a power law, every start tried."""
    tails = (_tail(eigenvalues[start:]) for start in range(eigenvalues.size - 1))
    return min(tails, key=lambda tail: tail.ks_distance)


def _tail(x: Floats) -> Tail:
    alpha = 1 + x.size / np.sum(np.log(x / x[0]))
    fitted = 1 - (x / x[0]) ** (1 - alpha)
    distance = np.max(np.abs(fitted - np.arange(x.size) / x.size))
    return Tail(float(alpha), float(x[0]), float(distance), x.size)


def expected_ranks(singular: Floats) -> dict[str, float]:
    return {
        "spectral_norm": float(singular[0]),
        "stable_rank": float(np.sum(singular**2) / singular[0] ** 2),
        "effective_rank": float(np.exp(scipy.stats.entropy(singular / np.sum(singular)))),
        "condition_number": float(singular[0] / singular[-1]),
    }


def participation(vector: Floats) -> float:
    """1/3 for a random direction, 1/m for a single entry."""
    return float(1 / (vector.size * np.sum(vector**4)))


def constant_overlap(vector: Floats) -> float:
    return float(abs(np.sum(vector)) / np.sqrt(vector.size))


def normality(vectors: Floats) -> float:
    """Largest KS distance of sqrt(m) u to N(0, 1) over the columns, times sqrt(m)."""
    m = vectors.shape[0]
    gaps = [scipy.stats.kstest(np.sqrt(m) * u, "norm").statistic for u in vectors.T]
    return float(max(gaps) * np.sqrt(m))
