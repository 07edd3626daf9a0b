"""The standard deviations of a model's projections relative to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bifurk_service.stats.layers.profile_tensor import PROJECTIONS, ProfileTensor, by_layer, by_role
from bifurk_service.stats.value import ALL_ZERO, NO_EARLIER, NoValue, Value

ONE_PROJECTION: Final = NoValue("fewer than two kinds of projection have a standard deviation")


def projection_std_profile(tensors: Sequence[ProfileTensor]) -> dict[str, float] | NoValue:
    """The normalised standard deviation of every kind of projection, by role.

    The median over layers of each role's std; these, over the roles present, have Euclidean
    length 1, so that a common scale cancels. After Ye et al. 2025 (arXiv 2509.19122), who take
    the std of all layers' elements together; the median, which one odd layer does not move, is
    ours.
    """
    return _normalised(_typical(tensors))


def projection_std_distance(
    tensors: Sequence[ProfileTensor], first: Sequence[ProfileTensor]
) -> Value:
    """Euclidean distance of two profiles over the roles that both have, in [0, sqrt(2)]."""
    if not first:
        return NO_EARLIER
    now, then = _typical(tensors), _typical(first)
    common = [role for role in PROJECTIONS if role in now and role in then]
    profiles = [_normalised({role: of[role] for role in common}) for of in (now, then)]
    for profile in profiles:
        if isinstance(profile, NoValue):
            return profile
    a, b = (np.array(list(profile.values())) for profile in profiles if isinstance(profile, dict))
    return float(np.linalg.norm(a - b))


def _typical(tensors: Sequence[ProfileTensor]) -> dict[str, float]:
    roles = by_role(tensors)
    found = {}
    for role in PROJECTIONS:
        _, values = by_layer(roles.get(role, []), "std")
        if values.size:
            found[role] = float(np.median(values))
    return found


def _normalised(values: dict[str, float]) -> dict[str, float] | NoValue:
    if len(values) < 2:
        return ONE_PROJECTION
    peak = max(values.values())
    if not peak > 0.0:
        return ALL_ZERO
    # By the peak first: squares then stay inside float64 for every scale of the weights.
    relative = np.array(list(values.values())) / peak
    length = float(np.linalg.norm(relative))
    return dict(zip(values, (relative / length).tolist(), strict=True))
