"""How far the extreme singular values of pure noise stray beyond the Marchenko-Pastur edges."""

from __future__ import annotations

import math
from typing import Final

EDGE_PROBABILITY: Final = 0.0025
"""Share of noise matrices whose largest (or smallest) singular value crosses the threshold."""
EDGE_QUANTILE: Final = 2.7998
"""The Tracy-Widom law of real matrices (beta = 1) exceeds this with ``EDGE_PROBABILITY``."""
HARD_EDGE_ASPECT: Final = 0.9
"""Above this p/n the smallest singular value feels the wall at zero: another law, no verdict."""


def upper_threshold(short: int, long: int) -> float:
    """The largest singular value of a short x long matrix of unit noise stays below this.

    With probability 1 - ``EDGE_PROBABILITY``, for large sides. Centring and scaling of Johnstone
    2001 (On the distribution of the largest eigenvalue, Annals of Statistics 29): with
    m = sqrt(n - 1) + sqrt(p), the largest eigenvalue is m^2 plus a Tracy-Widom number times
    m (1/sqrt(n - 1) + 1/sqrt(p))^(1/3).

    Args:
        short, long: sides of the matrix, 2 <= short <= long.
    """
    a, b = math.sqrt(long - 1), math.sqrt(short)
    scale = (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return math.sqrt((a + b) ** 2 + EDGE_QUANTILE * scale)


def lower_threshold(short: int, long: int) -> float | None:
    """The smallest singular value of a short x long matrix of unit noise stays above this.

    With probability 1 - ``EDGE_PROBABILITY``; None where ``HARD_EDGE_ASPECT`` is exceeded. The
    logarithm of the eigenvalue is centred, after Ma 2012 (Accuracy of the Tracy-Widom limits
    for the extreme eigenvalues in white Wishart matrices, Bernoulli 18): the plain centring
    would put the threshold below zero for matrices that are nearly square.

    Args:
        short, long: sides of the matrix, 2 <= short <= long.
    """
    if short > HARD_EDGE_ASPECT * long:
        return None
    a, b = math.sqrt(long - 0.5), math.sqrt(short - 0.5)
    centre = (a - b) ** 2
    spread = (a - b) * (1 / b - 1 / a) ** (1 / 3) / centre
    return math.sqrt(centre * math.exp(spread**2 / 8 - EDGE_QUANTILE * spread))
