"""The one table of detectors: which kind watches which statistics. Docs derive from it."""

from __future__ import annotations

from typing import Final

from bifurk_service.detect.base import AnyWatch, PopulationWatch, Watch
from bifurk_service.detect.branch_split import BranchSplit, BranchSplitParameters
from bifurk_service.detect.collapsed import Collapsed, CollapsedParameters
from bifurk_service.detect.critical_slowing import CriticalSlowing, CriticalSlowingParameters
from bifurk_service.detect.frozen import Frozen, FrozenParameters
from bifurk_service.detect.layer_departure import LayerDeparture, LayerDepartureParameters
from bifurk_service.detect.mode_split import ModeSplit, ModeSplitParameters
from bifurk_service.detect.non_finite import NonFinite
from bifurk_service.detect.one_bad_snapshot import OneBadSnapshot, OneBadSnapshotParameters
from bifurk_service.detect.path_fork import PathFork, PathForkParameters
from bifurk_service.detect.rank_collapse import RankCollapse, RankCollapseParameters
from bifurk_service.detect.regime_shift import RegimeShift, RegimeShiftParameters
from bifurk_service.detect.shape_change import ShapeChange, ShapeChangeParameters
from bifurk_service.detect.spectral_outlier import SpectralOutlier, SpectralOutlierParameters
from bifurk_service.detect.turning_point import TurningPoint, TurningPointParameters
from bifurk_service.detect.variance_burst import VarianceBurst, VarianceBurstParameters

LAYERED: Final = ("std", "spectral_norm", "update_ratio", "stable_rank")
"""Statistics that layers of one role are held against one another in."""

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
        parameters=CollapsedParameters,
    ),
    Watch(
        kind=Frozen.kind,
        statistics=("unmoved_share",),
        make=Frozen,
        meaning="no element moves although the learning rate is above zero",
        parameters=FrozenParameters,
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
        parameters=RegimeShiftParameters,
    ),
    PopulationWatch(
        kind=BranchSplit.kind,
        statistics=LAYERED,
        make=BranchSplit,
        meaning="the layers of one role part into two groups that go different ways",
        parameters=BranchSplitParameters,
    ),
    PopulationWatch(
        kind=LayerDeparture.kind,
        statistics=LAYERED,
        make=LayerDeparture,
        meaning="one layer, or two, leave the others of their role",
        parameters=LayerDepartureParameters,
    ),
    Watch(
        kind=ModeSplit.kind,
        statistics=("dip_ratio",),
        make=ModeSplit,
        meaning="the density of the values goes from one mode to several",
        parameters=ModeSplitParameters,
    ),
    Watch(
        kind=TurningPoint.kind,
        statistics=("stable_rank",),
        make=TurningPoint,
        meaning="a slow fall or rise from the running extremum",
        parameters=TurningPointParameters,
    ),
    Watch(
        kind=SpectralOutlier.kind,
        statistics=("spectrum_outliers",),
        make=SpectralOutlier,
        meaning="singular values come to stand beyond the fitted bulk, or return into it",
        parameters=SpectralOutlierParameters,
    ),
    Watch(
        kind=RankCollapse.kind,
        statistics=("stable_rank",),
        make=RankCollapse,
        meaning="the stable rank falls abruptly, or by half within few snapshots",
        parameters=RankCollapseParameters,
    ),
    Watch(
        kind=PathFork.kind,
        statistics=("dying_share", "path_flow", "path_dip_ratio"),
        make=PathFork,
        meaning="the paths of single weights part: some die, some grow",
        parameters=PathForkParameters,
    ),
    Watch(
        kind=ShapeChange.kind,
        statistics=("shape_class",),
        make=ShapeChange,
        meaning="the distribution's class of shape changes and stays",
        parameters=ShapeChangeParameters,
    ),
    Watch(
        kind=OneBadSnapshot.kind,
        statistics=("std", "update_ratio"),
        make=OneBadSnapshot,
        meaning="values are far out at a single snapshot and back at the next",
        parameters=OneBadSnapshotParameters,
    ),
    Watch(
        kind=VarianceBurst.kind,
        # An integrated statistic has no noise about its course that is not the course itself.
        statistics=("update_ratio",),
        make=VarianceBurst,
        meaning="a statistic begins to swing more from snapshot to snapshot",
        parameters=VarianceBurstParameters,
    ),
)
"""In the order in which a snapshot is judged."""

OPTIONAL_WATCHES: Final[tuple[AnyWatch, ...]] = (
    PopulationWatch(
        kind=CriticalSlowing.kind,
        statistics=("std", "update_ratio"),
        make=CriticalSlowing,
        meaning="the middle of a role fluctuates more and more slowly",
        parameters=CriticalSlowingParameters,
    ),
)
"""Off unless asked for."""
