"""Clusters of spectra: planted kinds are found, numbering and order do not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bifurk.layout import layout_of
from bifurk_service.stats.layers.profile import (
    WHOLE_MODEL,
    ProfileTensor,
    SpectralClusters,
    leading_value_profile,
    spectral_cluster_drift,
    spectral_cluster_profile,
)
from bifurk_service.stats.layers.profile_tensor import PROJECTIONS
from bifurk_service.stats.layers.spectral_clusters import FEW_MATRICES, NOTHING_COMMON
from bifurk_service.stats.value import NoValue
from tests.pretrained import BERT, weights_of
from tests.stats.layered import LAYERS, SLOPES, by_name, model, spectrum


def clusters(tensors: Sequence[ProfileTensor], rank: int = 16) -> SpectralClusters:
    found = spectral_cluster_profile(tensors, rank=rank)
    assert not isinstance(found, NoValue), found
    return found


def with_slopes(
    tensors: Sequence[ProfileTensor], changed: Mapping[str, float]
) -> list[ProfileTensor]:
    """The same tensors, those named with another spectrum."""
    return [
        ProfileTensor(
            name=one.name,
            layer=one.layer,
            role=one.role,
            values=one.values,
            singular_values=spectrum(changed[one.name])
            if one.name in changed
            else one.singular_values,
        )
        for one in tensors
    ]


@pytest.mark.parametrize("rank", [16, 64])
def test_planted_kinds_of_spectra_are_found(rank: int) -> None:
    found = clusters(model(), rank)
    assert found.explained > 0.99
    assert np.sort(found.composition, axis=1)[:, -1] == pytest.approx(1.0)
    assert found.composition.sum(axis=1) == pytest.approx(1.0)
    assert found.placement.sum(axis=0) == pytest.approx(1.0)
    for kind in found.kinds:
        labels = {
            label for label, role in zip(found.labels, found.roles, strict=True) if role == kind
        }
        assert len(labels) == 1


def test_kinds_with_one_spectrum_share_a_cluster() -> None:
    slopes = {"attention.query": 0.2, "attention.key": 0.2, "mlp.up": 0.9, "mlp.down": 0.9}
    found = clusters(model(slopes=slopes))
    query, up = found.kinds.index("attention.query"), found.kinds.index("mlp.up")
    assert not (found.placement[:, query] * found.placement[:, up]).any()


def test_two_equal_models_do_not_drift() -> None:
    values = by_name(model(), model())
    for name in ("projection_std_drift", "spectral_cluster_drift_16", "spectral_cluster_drift_64"):
        assert values[name, WHOLE_MODEL] == 0.0
    drift = spectral_cluster_drift(clusters(model()), clusters(model()))
    assert (drift.composition, drift.moved, drift.reclustered) == (0.0, 0.0, 0.0)


def test_another_scale_of_every_layer_does_not_drift() -> None:
    scaled = [
        ProfileTensor(
            name=t.name,
            layer=t.layer,
            role=t.role,
            values=t.values,
            singular_values=None if t.singular_values is None else 7 * t.singular_values,
        )
        for t in model()
    ]
    assert by_name(scaled, model())["spectral_cluster_drift_16", WHOLE_MODEL] == 0.0


def test_another_numbering_of_the_clusters_is_no_drift() -> None:
    first = clusters(model())
    order = np.random.default_rng(2).permutation(len(first.centroids))
    renumbered = SpectralClusters(
        rank=first.rank,
        names=first.names,
        roles=first.roles,
        vectors=first.vectors,
        labels=np.argsort(order)[first.labels],
        centroids=first.centroids[order],
        kinds=first.kinds,
        composition=first.composition[order],
        placement=first.placement[order],
        explained=first.explained,
    )
    for now, then in ((first, renumbered), (renumbered, first)):
        drift = spectral_cluster_drift(now, then)
        assert (drift.composition, drift.moved, drift.reclustered) == (0.0, 0.0, 0.0)


def test_keys_that_take_the_values_spectra_drift_by_their_share() -> None:
    first = model()
    moved = {f"h.{layer}.attention.key": SLOPES["attention.value"] for layer in range(3)}
    drift = spectral_cluster_drift(clusters(with_slopes(first, moved)), clusters(first))
    assert drift.composition == pytest.approx(3 / LAYERS / len(PROJECTIONS))
    assert drift.moved == pytest.approx(3 / (LAYERS * len(PROJECTIONS)))
    values = by_name(with_slopes(first, moved), first)
    assert values["spectral_cluster_drift_16", WHOLE_MODEL] == drift.composition


def test_noise_moves_no_matrix_of_well_parted_kinds() -> None:
    now = [
        ProfileTensor(
            name=t.name,
            layer=t.layer,
            role=t.role,
            values=t.values,
            singular_values=spectrum(SLOPES[t.role], noise=0.01, seed=7_000 + place),
        )
        for place, t in enumerate(model())
    ]
    drift = spectral_cluster_drift(clusters(now), clusters(model()))
    assert (drift.composition, drift.moved, drift.reclustered) == (0.0, 0.0, 0.0)


def test_a_run_of_another_depth_compares_by_shares() -> None:
    drift = spectral_cluster_drift(clusters(model(6)), clusters(model(LAYERS)))
    assert (drift.composition, drift.reclustered) == (0.0, 0.0)


def test_models_without_a_common_kind_have_no_drift() -> None:
    attention = clusters(model(slopes={"attention.query": 0.1, "attention.key": 0.9}))
    mlp = clusters(model(slopes={"mlp.up": 0.1, "mlp.down": 0.9}))
    assert spectral_cluster_drift(mlp, attention).composition == NOTHING_COMMON
    with pytest.raises(ValueError, match="one rank"):
        spectral_cluster_drift(clusters(model(), 64), clusters(model(), 16))


def test_fused_projections_stand_for_their_parts_only_until_they_are_taken_apart() -> None:
    fused = {"attention.qkv": 0.3, "mlp.up": 0.9}
    assert "attention.qkv" in clusters(model(slopes=fused)).kinds
    both = [*model(), *model(slopes={"attention.qkv": 0.3})]
    assert "attention.qkv" not in clusters(both).kinds


def test_too_few_or_too_small_matrices_are_not_clustered() -> None:
    assert spectral_cluster_profile(model(1), rank=16) == FEW_MATRICES
    assert spectral_cluster_profile(model(slopes={"mlp.up": 0.5}), rank=16) == FEW_MATRICES
    assert spectral_cluster_profile(model(), rank=97) == FEW_MATRICES
    zeros = [
        ProfileTensor(name=f"{i}", layer=i, role=role, values={}, singular_values=np.zeros(64))
        for i, role in enumerate(PROJECTIONS * 3)
    ]
    assert spectral_cluster_profile(zeros, rank=16) == FEW_MATRICES
    assert leading_value_profile(zeros) == []


def test_identical_spectra_make_one_cluster() -> None:
    slopes = {"mlp.up": 0.5, "mlp.down": 0.5}
    same = [
        ProfileTensor(name=f"{i}.{r}", layer=i, role=r, values={}, singular_values=spectrum(0.5))
        for i in range(4)
        for r in slopes
    ]
    found = clusters(same)
    assert found.labels.tolist() == [0] * 8
    assert found.explained == 0.0


def test_noise_moves_none_of_the_clusters_of_pretrained_projections() -> None:
    clean, noisy = (clusters(pretrained(noise=noise)) for noise in (0.0, 0.1))
    assert len(clean.names) == 36
    assert clean.explained > 0.9
    drift = spectral_cluster_drift(noisy, clean)
    assert (drift.composition, drift.moved, drift.reclustered) == (0.0, 0.0, 0.0)


def pretrained(*, noise: float) -> list[ProfileTensor]:
    """MiniLM's projections with noise of this share of their std added."""
    rng = np.random.default_rng(0)
    found = []
    for name, weights in weights_of(BERT).items():
        layout = layout_of(name, weights.shape)
        if layout.layer is None or layout.role not in PROJECTIONS:
            continue
        w = weights + noise * np.std(weights) * rng.normal(size=weights.shape)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        found.append(
            ProfileTensor(
                name=name,
                layer=layout.layer,
                role=layout.role,
                values={"std": float(np.std(w))},
                singular_values=np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))[::-1],
            )
        )
    return found


def test_the_order_of_the_tensors_does_not_matter() -> None:
    tensors = model(std_ratio_to_first=1.1, displacement_std=0.1)
    shuffled = [tensors[i] for i in np.random.default_rng(1).permutation(len(tensors))]
    assert by_name(shuffled, tensors) == by_name(tensors, shuffled) == by_name(tensors, tensors)
    assert np.array_equal(clusters(shuffled).labels, clusters(tensors).labels)
