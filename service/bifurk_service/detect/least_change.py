"""The least change that a person would call one, by statistic: less is not worth telling."""

from __future__ import annotations

from typing import Final

from bifurk_service.stats.registry import Statistic

LEAST_LOG_CHANGE: Final = 0.05
"""5 % of a multiplicative statistic, unless it has a least change of its own."""
LEAST_CHANGE: Final[dict[str, float]] = {
    # Batches alone move it by a tenth; from here on an optimizer does something else.
    "update_ratio": 0.2,
    # Half of what separates a Gaussian from its nearest other class of shape.
    "excess_kurtosis": 0.25,
    "skewness": 0.05,
    "gaussian_ks_distance": 0.01,
    # One degree at 45 degrees from the start.
    "cosine_to_first": 0.01,
}
"""By statistic: what a person would call a change, on the scale the detector works on."""


def least_change_of(statistic: Statistic) -> float:
    """On the scale detectors work on: of the value, or of its logarithm where there is one."""
    return LEAST_CHANGE.get(statistic.name, LEAST_LOG_CHANGE if statistic.log_scale else 0.0)
