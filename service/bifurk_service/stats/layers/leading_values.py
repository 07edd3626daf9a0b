"""How alike the leading singular values of one role are from layer to layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.layers.profile_tensor import ProfileTensor, by_role
from bifurk_service.stats.layers.tail import TailFit, fit_tail
from bifurk_service.stats.value import NoValue, Value

LEADING: Final = 16
"""Singular values compared between layers."""
TAIL_LEADING: Final = 64
"""Singular values a layer gives to the tail: as many as the finer clusters look at."""

FEW_SPECTRA: Final = NoValue(f"fewer than two matrices have {LEADING} singular values")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeadingValueProfile:
    """The leading singular values of one role's matrices, compared.

    Attributes:
        role: one of ``bifurk.layout.ROLES``. names [M], layers int64 [M]: of the matrices.
        distances: float64 [M, M], cosine distances of the leading 16 values, in [0, 1].
        mean_distance: over pairs.
        value_tail: of the leading 64 values of all matrices, each divided by the rms of its own.
        distance_tail: of the distances over pairs.
    """

    role: str
    names: tuple[str, ...]
    layers: NDArray[np.int64]
    distances: NDArray[np.float64]
    mean_distance: Value
    value_tail: TailFit | NoValue
    distance_tail: TailFit | NoValue


def leading_value_profile(tensors: Sequence[ProfileTensor]) -> list[LeadingValueProfile]:
    """Cosine distances between layers and tails, for every role of which a spectrum is known.

    Ye, Li and Xu 2025 (arXiv 2509.00046) find the cosine distances between layers' leading
    singular values to follow a power law by type; how many values they take, and their fit, could
    not be read: 16, and the fit in ``stats/layers/tail.py``, are ours. The tail of the values
    themselves is ours too.
    """
    return [
        _profile(role, members)
        for role, tensors_of_role in by_role(tensors).items()
        if (members := [one for one in tensors_of_role if _leading(one, LEADING) is not None])
    ]


def _profile(role: str, members: Sequence[ProfileTensor]) -> LeadingValueProfile:
    vectors = np.array([_leading(member, LEADING) for member in members])
    distances = _cosine_distances(vectors)
    pairs = distances[np.triu_indices(len(members), k=1)]
    return LeadingValueProfile(
        role=role,
        names=tuple(member.name for member in members),
        layers=np.array([member.layer for member in members], dtype=np.int64),
        distances=distances,
        mean_distance=float(np.mean(pairs)) if pairs.size else FEW_SPECTRA,
        value_tail=fit_tail(np.concatenate([_relative(member) for member in members])),
        distance_tail=fit_tail(pairs) if pairs.size else FEW_SPECTRA,
    )


def _leading(tensor: ProfileTensor, count: int) -> NDArray[np.float64] | None:
    """The leading values in units of the largest; None where there are too few, or all are zero."""
    values = tensor.singular_values
    if values is None or values.size < count or not np.isfinite(values).all() or values[0] <= 0.0:
        return None
    leading: NDArray[np.float64] = values[:count] / values[0]
    return leading


def _cosine_distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine, as half the squared distance of unit vectors: exact where they are close."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    gaps = units[:, None, :] - units[None, :, :]
    distances: NDArray[np.float64] = np.einsum("ijk,ijk->ij", gaps, gaps) / 2.0
    return distances


def _relative(tensor: ProfileTensor) -> NDArray[np.float64]:
    values = tensor.singular_values
    assert values is not None, "only tensors with a spectrum are compared"
    leading = values[:TAIL_LEADING] / values[0]
    relative: NDArray[np.float64] = leading / np.sqrt(np.mean(leading**2))
    return relative
