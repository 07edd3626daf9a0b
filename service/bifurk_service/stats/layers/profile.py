"""Statistics across layers of one snapshot: by depth, by kind of projection, by spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bifurk_service.stats.layers.depth import DepthProfile, depth_correlation, depth_profile
from bifurk_service.stats.layers.leading_values import LeadingValueProfile, leading_value_profile
from bifurk_service.stats.layers.profile_tensor import ProfileTensor, by_layer, by_role
from bifurk_service.stats.layers.projection_std import (
    projection_std_distance,
    projection_std_profile,
)
from bifurk_service.stats.layers.spectral_clusters import (
    ClusterDrift,
    SpectralClusters,
    spectral_cluster_drift,
    spectral_cluster_profile,
)
from bifurk_service.stats.layers.tail import TailFit
from bifurk_service.stats.rows.profile import PROFILE_STATISTICS, ProfileStatistic
from bifurk_service.stats.value import NO_EARLIER, NoValue, Value

__all__ = [
    "PROFILE_STATISTICS",
    "WHOLE_MODEL",
    "ClusterDrift",
    "DepthProfile",
    "LeadingValueProfile",
    "ProfileStatistic",
    "ProfileTensor",
    "ProfileValue",
    "SpectralClusters",
    "TailFit",
    "depth_profile",
    "leading_value_profile",
    "profile_statistics",
    "projection_std_distance",
    "projection_std_profile",
    "spectral_cluster_drift",
    "spectral_cluster_profile",
]

WHOLE_MODEL: Final = ""
"""The role of a statistic that is the whole model's."""

_DEPTH: Final = {
    "std_depth_correlation": "std",
    "std_growth_depth_correlation": "std_ratio_to_first",
    "displacement_depth_correlation": "displacement_std",
}
_CLUSTER_DRIFT: Final = {"spectral_cluster_drift_16": 16, "spectral_cluster_drift_64": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileValue:
    """One statistic of one role, or of the whole model where ``role`` is empty."""

    name: str
    role: str
    value: Value


def profile_statistics(
    tensors: Sequence[ProfileTensor], *, first: Sequence[ProfileTensor]
) -> list[ProfileValue]:
    """Every statistic of ``PROFILE_STATISTICS``: a float64, or why there is none.

    By-role statistics come for every role that has tensors in layers, or a spectrum there. The
    order of the tensors does not matter.

    Args:
        tensors: of this snapshot. first: of the attempt's first; empty where there is none.
    """
    return [
        *_by_depth(tensors),
        *_by_projection(tensors, first),
        *(_cluster_drift(name, rank, tensors, first) for name, rank in _CLUSTER_DRIFT.items()),
        *_by_leading_values(tensors),
    ]


def _by_depth(tensors: Sequence[ProfileTensor]) -> list[ProfileValue]:
    roles = by_role(tensors)
    return [
        ProfileValue(name=name, role=role, value=depth_correlation(by_layer(members, of)[1]))
        for name, of in _DEPTH.items()
        for role, members in roles.items()
    ]


def _by_projection(
    tensors: Sequence[ProfileTensor], first: Sequence[ProfileTensor]
) -> list[ProfileValue]:
    profile = projection_std_profile(tensors)
    stds = {} if isinstance(profile, NoValue) else profile
    drift = projection_std_distance(tensors, first)
    return [
        *(ProfileValue(name="projection_std", role=role, value=std) for role, std in stds.items()),
        ProfileValue(name="projection_std_drift", role=WHOLE_MODEL, value=drift),
    ]


def _cluster_drift(
    name: str, rank: int, tensors: Sequence[ProfileTensor], first: Sequence[ProfileTensor]
) -> ProfileValue:
    now = spectral_cluster_profile(tensors, rank=rank)
    then = spectral_cluster_profile(first, rank=rank) if first else NO_EARLIER
    value: Value
    if isinstance(now, NoValue):
        value = now
    elif isinstance(then, NoValue):
        value = then
    else:
        value = spectral_cluster_drift(now, then).composition
    return ProfileValue(name=name, role=WHOLE_MODEL, value=value)


def _by_leading_values(tensors: Sequence[ProfileTensor]) -> list[ProfileValue]:
    return [
        ProfileValue(name=name, role=profile.role, value=value)
        for profile in leading_value_profile(tensors)
        for name, value in (
            ("leading_value_distance", profile.mean_distance),
            ("leading_value_tail_exponent", _exponent(profile.value_tail)),
            ("leading_distance_tail_exponent", _exponent(profile.distance_tail)),
        )
    ]


def _exponent(fit: TailFit | NoValue) -> Value:
    return fit if isinstance(fit, NoValue) else fit.exponent
