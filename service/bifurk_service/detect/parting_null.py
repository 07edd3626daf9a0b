"""What the best parting of numbers explains where they do not part: it always explains much."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.two_groups import Array

NULL_LAYERS: Final = (6, 8, 12, 16, 24, 48)
NULL_REST: Final = (0.003, 0.007, 0.023, 0.041, 0.067, 0.114)
"""By number of layers, 1 - R^2 below which the best parting of evenly spread numbers comes once in
ten thousand draws (of Gaussian ones, which part less well, far more seldom): 400,000 to a million
draws each, best cut, at least three on either side. In between by logarithms."""


def allowed_rest(layers: NDArray[np.int64]) -> Array:
    """What R^2 may leave over for a parting of so many layers to stand out, float64 [G]."""
    size = np.log(np.maximum(layers, NULL_LAYERS[0]))
    rest: Array = np.exp(np.interp(size, np.log(NULL_LAYERS), np.log(NULL_REST)))
    return rest
