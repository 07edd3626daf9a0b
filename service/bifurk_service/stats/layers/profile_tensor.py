"""What profiles across layers are made of, and the roles they speak of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

PROJECTIONS: Final = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "mlp.gate",
    "mlp.up",
    "mlp.down",
)
"""The projections of a transformer block, Q, K, V, O, Gate, Up, Down, in this order; a model
without one of them simply lacks it."""
FUSED: Final = "attention.qkv"
"""Stands for the first three where they are stored as one tensor and were not taken apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileTensor:
    """One tensor as profiles see it.

    Attributes:
        name: of the tensor, or of one piece of a fused one.
        layer: index of its block, or None. role: one of ``bifurk.layout.ROLES``.
        values: of ``std``, ``std_ratio_to_first``, ``displacement_std`` those that are known.
        singular_values: float64 [p], descending, in the weights' unit; None where not known.
    """

    name: str
    layer: int | None
    role: str
    values: Mapping[str, float]
    singular_values: NDArray[np.float64] | None = None


def by_role(tensors: Iterable[ProfileTensor]) -> dict[str, list[ProfileTensor]]:
    """The tensors that sit in a layer, by role; roles sorted, tensors by layer and name."""
    found: dict[str, list[ProfileTensor]] = {}
    layered = [tensor for tensor in tensors if tensor.layer is not None]
    for tensor in sorted(layered, key=lambda one: (one.role, one.layer, one.name)):
        found.setdefault(tensor.role, []).append(tensor)
    return found


def by_layer(
    tensors: Sequence[ProfileTensor], statistic: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A statistic of one role by layer: layers [L], ascending, and values [L].

    Of several tensors of one layer (experts, or the two norms of a block) the median counts.
    """
    found: dict[int, list[float]] = {}
    for tensor in tensors:
        if tensor.layer is not None and statistic in tensor.values:
            found.setdefault(tensor.layer, []).append(tensor.values[statistic])
    layers = sorted(found)
    return (
        np.array(layers, dtype=np.int64),
        np.array([median(found[layer]) for layer in layers], dtype=np.float64),
    )


def projections_of(tensors: Iterable[ProfileTensor]) -> list[ProfileTensor]:
    """The projections among the tensors that sit in a layer, sorted by name."""
    roles = by_role(tensors)
    apart = any(role in roles for role in PROJECTIONS[:3])
    wanted = PROJECTIONS if apart else (*PROJECTIONS, FUSED)
    found = [tensor for role in wanted for tensor in roles.get(role, ())]
    return sorted(found, key=lambda tensor: tensor.name)
