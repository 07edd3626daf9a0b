"""How far the bulk of pure noise lies from the Marchenko-Pastur law, by simulation."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

KS_99: Final[dict[float, tuple[float, float]]] = {
    1 / 64: (2.75, 0.38),
    1 / 16: (2.79, 0.47),
    1 / 4: (2.77, 0.48),
    1 / 2: (2.81, 0.45),
    3 / 4: (2.82, 0.51),
    0.9: (2.77, 0.56),
    1.0: (2.79, 0.48),
}
"""By p/n: level and slope of the line level + slope ln(p / 64), which p times the distance exceeds
for 1 % of biwhitened Gaussian matrices. 1,000 draws a point, p of 32 to 256 (p n at most 2^18),
straight lines through the points: ``python benchmarks/random_matrix_null.py --calibrate``.
Eigenvalues repel each other, so the distance falls as 1/p and not as 1/sqrt(p); heavy-tailed
entries lie farther off, see ``docs/methods/spectra.md``."""

_ASPECTS: Final = np.log(np.array(list(KS_99)))
_LINES: Final = np.array(list(KS_99.values()))


def ks_null_99(short: int, long: int) -> float:
    """The distance that 1 % of biwhitened noise matrices of short x long exceed, in [0, 1].

    Between the simulated p/n by interpolation in their logarithm, beyond them as at the end;
    beyond p = 256 along the line.
    """
    aspect = math.log(short / long)
    level, slope = (float(np.interp(aspect, _ASPECTS, line)) for line in _LINES.T)
    return (level + slope * math.log(short / 64)) / short
