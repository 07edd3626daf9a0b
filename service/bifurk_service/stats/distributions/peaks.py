"""Where a drawn density has its modes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

SMOOTHED_OVER: Final = 0.02
"""Of the range drawn, the deviation of the kernel: what is narrower is noise of sampling."""
LEAST_PROMINENCE: Final = 0.1
"""Of the highest peak: how far a density has to fall on both sides of a mode."""


def peaks(density: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the two most prominent modes, ascending; fewer where there are fewer.

    Whether a distribution has more than one mode is the dip's to say (``dip_ratio``); this only
    says where to draw them.

    Args:
        density: float64 [B] over equal bins. edges: float64 [B + 1].
    """
    if not np.isfinite(density).all() or not density.any():
        return np.zeros(0)
    smooth = gaussian_filter1d(density, SMOOTHED_OVER * density.size, mode="constant")
    # An edge of the drawing is no slope: a mode may lie right at it.
    framed = np.concatenate(([0.0], smooth, [0.0]))
    found, about = find_peaks(framed, prominence=LEAST_PROMINENCE * smooth.max())
    strongest = np.argsort(about["prominences"])[::-1][:2]
    centres = (edges[:-1] + edges[1:]) / 2
    return np.sort(centres[found[strongest] - 1])
