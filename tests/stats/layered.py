"""Models in layers, as profiles see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.layers.profile import (
    ProfileTensor,
    profile_statistics,
)
from bifurk_service.stats.layers.profile_tensor import PROJECTIONS
from bifurk_service.stats.value import Value

Floats = NDArray[np.float64]

LAYERS = 12


SLOPES = dict(zip(PROJECTIONS, np.linspace(0.1, 1.3, len(PROJECTIONS)), strict=True))
"""Singular values of the roles fall as i^-slope: seven kinds of spectra."""


def spectrum(slope: float, *, size: int = 96, noise: float = 0.0, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values = (1.0 + np.arange(size)) ** -slope * np.exp(noise * rng.normal(size=size))
    return np.sort(values)[::-1]


def block(
    layer: int, slopes: Mapping[str, float] = SLOPES, *, std: float = 0.02, **others: float
) -> list[ProfileTensor]:
    return [
        ProfileTensor(
            name=f"h.{layer}.{role}",
            layer=layer,
            role=role,
            values={"std": std} | others,
            singular_values=(1 + layer) * spectrum(slope, noise=0.01, seed=100 * layer + place),
        )
        for place, (role, slope) in enumerate(slopes.items())
    ]


def model(layers: int = LAYERS, **others: Any) -> list[ProfileTensor]:
    return [tensor for layer in range(layers) for tensor in block(layer, **others)]


def by_name(
    tensors: Sequence[ProfileTensor], first: Sequence[ProfileTensor] = ()
) -> dict[Any, Value]:
    return {
        (one.name, one.role): one.value for one in profile_statistics(tensors, first=list(first))
    }
