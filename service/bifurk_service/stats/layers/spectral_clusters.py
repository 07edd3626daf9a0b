"""Which projections have alike spectra: K-means over leading singular values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bifurk_service.stats.layers.k_means import k_means, squared_distances
from bifurk_service.stats.layers.profile_tensor import ProfileTensor, projections_of
from bifurk_service.stats.value import NoValue, Value

RANKS: Final = (16, 64)
"""Leading singular values that the source compares."""
MATRICES_PER_CLUSTER: Final = 2
"""With one matrix a cluster every composition is pure and says nothing."""
REMEMBERED: Final = 64
"""Partitions kept: spectra come less often than snapshots, and the first one comes back always."""

FEW_MATRICES: Final = NoValue(
    "fewer than two kinds of projection, or than two matrices a kind, have so many singular values"
)
NOTHING_COMMON: Final = NoValue("no kind of projection, or no matrix, is in both")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectralClusters:
    """Projections by the shape of their leading singular values.

    Attributes:
        rank: r, the leading values looked at.
        names, roles: [M], of the projections, sorted by name.
        vectors: float64 [M, r], the leading values of each, of Euclidean length 1.
        labels: int64 [M], each one's cluster; 0 is the largest cluster.
        centroids: float64 [C, r].
        kinds: [R], the roles there are. composition: float64 [C, R], the share of each role in
            each cluster; rows sum to 1. placement: float64 [C, R], the share of each role's
            matrices that is in each cluster; columns sum to 1.
        explained: share of the vectors' variance that lies between clusters, in [0, 1]; 0 where
            there is one cluster.
    """

    rank: int
    names: tuple[str, ...]
    roles: tuple[str, ...]
    vectors: NDArray[np.float64]
    labels: NDArray[np.int64]
    centroids: NDArray[np.float64]
    kinds: tuple[str, ...]
    composition: NDArray[np.float64]
    placement: NDArray[np.float64]
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDrift:
    """How far the projections now are from an earlier partition; all in [0, 1], 0 for equal.

    Attributes:
        composition: with each matrix put to the nearest of the *earlier* centroids: the share of a
            role's matrices that is in other clusters than the role's were, averaged over roles.
        moved: share of the matrices of one name that are nearer to another earlier centroid.
        reclustered: as ``composition``, between two independent partitions whose clusters are
            matched for the best. Where clusters are not well apart it is far from 0 by chance.
    """

    composition: Value
    moved: Value
    reclustered: Value


def spectral_cluster_profile(
    tensors: Sequence[ProfileTensor], *, rank: int
) -> SpectralClusters | NoValue:
    """K-means over the leading ``rank`` singular values of all projections, whatever their order.

    After Ye et al. 2025 (arXiv 2509.19122), who cluster the top 16 or 64 singular values of the
    projections and combine the groups by type. What their summary leaves open is ours: vectors of
    length 1, as many clusters as kinds of projection, K-means++ with fixed seeds, the best of
    several starts. Matrices with fewer than ``rank`` singular values are left out.
    """
    members = [
        one
        for one in projections_of(tensors)
        if one.singular_values is not None and _is_usable(one.singular_values, rank)
    ]
    kinds = tuple(sorted({one.role for one in members}))
    if len(kinds) < 2 or len(members) < MATRICES_PER_CLUSTER * len(kinds):
        return FEW_MATRICES
    vectors = np.array([_unit(one, rank) for one in members])
    labels, centroids = _partition(vectors.tobytes(), len(members), len(kinds))
    roles = tuple(one.role for one in members)
    counts = _count(labels, roles, kinds, len(centroids))
    return SpectralClusters(
        rank=rank,
        names=tuple(one.name for one in members),
        roles=roles,
        vectors=vectors,
        labels=labels,
        centroids=centroids,
        kinds=kinds,
        composition=counts / counts.sum(axis=1, keepdims=True),
        placement=counts / counts.sum(axis=0, keepdims=True),
        explained=_explained(vectors, labels, centroids),
    )


def spectral_cluster_drift(now: SpectralClusters, first: SpectralClusters) -> ClusterDrift:
    """Drift from an earlier step's partition, or from another run's.

    Numbering of clusters does not matter. Against another run the models may differ in depth:
    shares of roles are compared; ``moved`` then speaks of the names that both have.

    Raises:
        ValueError: the two look at different numbers of singular values.
    """
    if now.rank != first.rank:
        raise ValueError(f"drift needs one rank, got {now.rank} and {first.rank}")
    nearest = _nearest(now.vectors, first.centroids)
    common = [kind for kind in first.kinds if kind in now.kinds]
    then_label = dict(zip(first.names, first.labels.tolist(), strict=True))
    stayed = [
        label == then_label[name]
        for name, label in zip(now.names, nearest.tolist(), strict=True)
        if name in then_label
    ]
    if not common:
        return ClusterDrift(
            composition=NOTHING_COMMON, moved=NOTHING_COMMON, reclustered=NOTHING_COMMON
        )
    then = first.placement[:, [first.kinds.index(kind) for kind in common]]
    counts = _count(nearest, now.roles, tuple(common), len(first.centroids))
    again = now.placement[:, [now.kinds.index(kind) for kind in common]]
    return ClusterDrift(
        composition=_distance(counts / counts.sum(axis=0, keepdims=True), then),
        moved=1.0 - sum(stayed) / len(stayed) if stayed else NOTHING_COMMON,
        reclustered=_matched_distance(again, then),
    )


def _is_usable(values: NDArray[np.float64], rank: int) -> bool:
    return bool(values.size >= rank and np.isfinite(values[:rank]).all() and values[0] > 0.0)


def _unit(tensor: ProfileTensor, rank: int) -> NDArray[np.float64]:
    assert tensor.singular_values is not None, "only tensors with a spectrum are clustered"
    leading = tensor.singular_values[:rank] / tensor.singular_values[0]
    unit: NDArray[np.float64] = leading / np.linalg.norm(leading)
    return unit


@lru_cache(maxsize=REMEMBERED)
def _partition(
    vectors: bytes, count: int, clusters: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels [M] and centroids [C, r], the largest cluster first; remembered by content."""
    points = np.frombuffer(vectors, dtype=np.float64).reshape(count, -1)
    labels, centroids = k_means(points, clusters=clusters)
    sizes = np.bincount(labels, minlength=len(centroids))
    order = np.lexsort((-centroids[:, -1], -sizes))
    renamed = np.argsort(order)[labels]
    centroids = centroids[order]
    renamed.setflags(write=False)
    centroids.setflags(write=False)
    return renamed, centroids


def _nearest(vectors: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = squared_distances(vectors, centroids).argmin(axis=1)
    return nearest


def _count(
    labels: NDArray[np.int64], roles: Sequence[str], kinds: Sequence[str], clusters: int
) -> NDArray[np.float64]:
    """How many matrices of each kind are in each cluster, float64 [C, R]."""
    counts = np.zeros((clusters, len(kinds)))
    for label, role in zip(labels.tolist(), roles, strict=True):
        if role in kinds:
            counts[label, kinds.index(role)] += 1.0
    return counts


def _explained(
    vectors: NDArray[np.float64], labels: NDArray[np.int64], centroids: NDArray[np.float64]
) -> float:
    if len(centroids) == 1:
        return 0.0
    total = float(np.sum((vectors - vectors.mean(axis=0)) ** 2))
    within = float(np.sum((vectors - centroids[labels]) ** 2))
    return max(0.0, 1.0 - within / total)


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Total variation of the columns, averaged over them."""
    total = float(np.abs(a - b).sum())
    return total / 2.0 / len(a[0])


def _matched_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The least distance over all ways to match clusters; a missing cluster is an empty one."""
    clusters = max(len(a), len(b))
    a, b = (np.pad(one, ((0, clusters - len(one)), (0, 0))) for one in (a, b))
    rows, columns = linear_sum_assignment(np.abs(a[:, None, :] - b[None, :, :]).sum(axis=2))
    return _distance(a[rows], b[columns])
