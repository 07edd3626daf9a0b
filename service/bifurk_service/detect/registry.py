"""The one table of detectors: which kind watches which statistics. Docs derive from it."""

from __future__ import annotations

from typing import Final

from bifurk_service.detect.base import AnyWatch, Watch
from bifurk_service.detect.collapsed import Collapsed
from bifurk_service.detect.frozen import Frozen
from bifurk_service.detect.mode_split import ModeSplit
from bifurk_service.detect.non_finite import NonFinite
from bifurk_service.detect.regime_shift import RegimeShift
from bifurk_service.detect.turning_point import TurningPoint

WATCHES: Final[tuple[AnyWatch, ...]] = (
    Watch(
        kind=NonFinite.kind,
        statistics=("nonfinite_count",),
        make=NonFinite,
        meaning="NaN or infinite values appear",
    ),
    Watch(
        kind=Collapsed.kind,
        statistics=("std",),
        make=Collapsed,
        meaning="the spread of the values falls to nothing",
    ),
    Watch(
        kind=Frozen.kind,
        statistics=("unmoved_share",),
        make=Frozen,
        meaning="no element moves although the learning rate is above zero",
    ),
    Watch(
        kind=RegimeShift.kind,
        # One or two of each aspect that ``agreement`` knows: near-duplicates (rms, norms,
        # quantiles) would add false alarms and no witness.
        statistics=(
            "std",
            "spectral_norm",
            "update_ratio",
            "excess_kurtosis",
            "gaussian_ks_distance",
            "cosine_to_first",
            "stable_rank",
            "effective_rank",
        ),
        make=RegimeShift,
        meaning="a statistic leaves the course of its past and stays away",
    ),
    Watch(
        kind=ModeSplit.kind,
        statistics=("dip_ratio",),
        make=ModeSplit,
        meaning="the density of the values goes from one mode to several",
    ),
    Watch(
        kind=TurningPoint.kind,
        statistics=("stable_rank",),
        make=TurningPoint,
        meaning="a slow fall or rise from the running extremum",
    ),
)
"""In the order in which a snapshot is judged."""
