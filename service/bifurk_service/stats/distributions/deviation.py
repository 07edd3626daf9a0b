"""The standard deviation of one distribution, stable for every magnitude float64 can hold."""

from __future__ import annotations

import math

import numpy as np

from bifurk_service.stats.distributions.distribution import Distribution


def deviation(distribution: Distribution) -> float:
    """The population standard deviation in the weights' unit; infinite where it exceeds float64."""
    scaled, exponent = scaled_deviation(distribution)
    return float(np.ldexp(scaled, exponent))


def scaled_deviation(distribution: Distribution) -> tuple[float, int]:
    """The population standard deviation in units of 2^exponent, and the exponent.

    In two passes about the mean; scaled by a power of two first, which rounds nothing and keeps
    squares inside float64.

    Args:
        distribution: of at least one finite element.
    """
    values = distribution.values
    exponent = int(np.frexp(np.max(np.abs(values)))[1])
    scaled = np.ldexp(values, -exponent)
    weights = distribution.counts / distribution.size
    deviations = scaled - float(scaled @ weights)
    # What rounding left of the first moment.
    deviations -= float(deviations @ weights)
    return math.sqrt(float((deviations * deviations) @ weights)), exponent
