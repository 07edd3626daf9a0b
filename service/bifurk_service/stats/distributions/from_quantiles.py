"""A density behind a few stored quantiles: what is drawn where the values are not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri

from bifurk_service.stats.distributions.density import DensityUnit

PROBABILITIES: Final = {
    "quantile_p0_1": 0.001,
    "quantile_p1": 0.01,
    "quantile_p5": 0.05,
    "quantile_p25": 0.25,
    "quantile_p50": 0.5,
    "quantile_p75": 0.75,
    "quantile_p95": 0.95,
    "quantile_p99": 0.99,
    "quantile_p99_9": 0.999,
}
"""The stored quantiles, by the statistic's name."""
LEAST_KNOTS: Final = 3
"""Different quantiles that a curve is drawn through; of fewer the values are as good as equal."""


def density_from_quantiles(
    quantiles: Sequence[float], edges: NDArray[np.float64], unit: DensityUnit, *, std: float
) -> NDArray[np.float64]:
    """The density between stored quantiles, float64 [B] over B + 1 edges; NaN where it is unknown.

    The distribution function goes through the quantiles, monotone cubic in its Gaussian score
    (Fritsch and Carlson 1980), so that a Gaussian's quantiles give back the Gaussian. Nothing is
    put beyond the outermost two, and modes between two neighbours do not show.

    Args:
        quantiles: in the weights' unit, as ``PROBABILITIES`` names them.
        edges: ascending, in ``unit``. std: population standard deviation.
    """
    nothing = np.full(len(edges) - 1, np.nan)
    places = np.asarray(quantiles, dtype=np.float64)
    known = np.isfinite(places)
    values, first = np.unique(places[known], return_index=True)
    if values.size < LEAST_KNOTS or (unit == "sigma" and not std > 0):
        return nothing
    scores = ndtri(np.array(tuple(PROBABILITIES.values())))[known][first]
    curve = PchipInterpolator(values, scores)

    def below(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(ndtr(curve(np.clip(weights, values[0], values[-1]))))

    if unit == "log_magnitude":
        magnitudes = np.power(10.0, edges)
        through = below(magnitudes) - below(-magnitudes)
    else:
        through = below(edges * std if unit == "sigma" else edges)
    return np.diff(through) / np.diff(edges)
