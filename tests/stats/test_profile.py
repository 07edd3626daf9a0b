"""Profiles by depth and by kind of projection: planted courses are found."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from bifurk_service.stats.layers.depth import FEW_LAYERS, depth_correlation
from bifurk_service.stats.layers.profile import (
    PROFILE_STATISTICS,
    WHOLE_MODEL,
    ProfileTensor,
    depth_profile,
    projection_std_distance,
    projection_std_profile,
    spectral_cluster_profile,
)
from bifurk_service.stats.layers.projection_std import ONE_PROJECTION
from bifurk_service.stats.value import ALL_EQUAL, ALL_ZERO, NO_EARLIER, NoValue
from tests.stats.layered import LAYERS, SLOPES, block, by_name, model


def test_every_registered_statistic_and_no_other_comes_out() -> None:
    names = {name for name, _ in by_name(model(std_ratio_to_first=1.0, displacement_std=0.1))}
    assert names == {statistic.name for statistic in PROFILE_STATISTICS}


def test_by_role_statistics_have_a_role_and_the_others_are_the_whole_models() -> None:
    per_role = {statistic.name: statistic.per_role for statistic in PROFILE_STATISTICS}
    for name, role in by_name(model()):
        assert (role != WHOLE_MODEL) == per_role[name], name


def test_growth_that_rises_with_depth_correlates_with_it() -> None:
    tensors = [
        tensor
        for layer in range(LAYERS)
        for tensor in block(layer, std=0.03 - 0.001 * layer, std_ratio_to_first=1 + 0.1 * layer)
    ]
    values = by_name(tensors)
    assert values["std_growth_depth_correlation", "mlp.up"] == pytest.approx(1.0)
    assert values["std_depth_correlation", "mlp.up"] == pytest.approx(-1.0)
    assert values["displacement_depth_correlation", "mlp.up"] == FEW_LAYERS


@pytest.mark.parametrize("size", [4, 5, 8, 9, 30])
def test_the_correlation_is_scipys(size: int) -> None:
    values = np.round(np.random.default_rng(size).normal(size=size), 1)
    expected = scipy.stats.spearmanr(np.arange(size), values).statistic
    assert depth_correlation(values) == pytest.approx(expected, abs=1e-12)


def test_the_p_value_of_few_layers_counts_all_orders() -> None:
    stds = [0.3, 0.1, 0.4, 0.2, 0.5]
    tensors = [t for layer, std in enumerate(stds) for t in block(layer, {"mlp.up": 0.5}, std=std)]
    profile = depth_profile(tensors, statistic="std")[0]
    correlations = [
        scipy.stats.spearmanr(range(5), order).statistic for order in permutations(stds)
    ]
    seen = abs(scipy.stats.spearmanr(range(5), stds).statistic)
    expected = np.mean([abs(c) >= seen - 1e-9 for c in correlations])
    assert profile.p_value == pytest.approx(expected)


def test_the_p_value_of_many_layers_is_scipys() -> None:
    stds = np.random.default_rng(0).uniform(0.1, 0.2, size=24)
    tensors = [
        t for layer, std in enumerate(stds) for t in block(layer, {"mlp.up": 0.5}, std=float(std))
    ]
    profile = depth_profile(tensors, statistic="std")[0]
    expected = scipy.stats.spearmanr(np.arange(24), stds)
    assert (profile.spearman, profile.p_value) == pytest.approx(tuple(expected))
    assert profile.layers.tolist() == list(range(24))
    assert profile.values == pytest.approx(stds)


def test_layers_without_order_have_uniform_p_values() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(400):
        stds = rng.normal(1, 0.1, size=12)
        tensors = [
            t for layer, std in enumerate(stds) for t in block(layer, {"mlp.up": 0.5}, std=std)
        ]
        found.append(depth_profile(tensors, statistic="std")[0].p_value)
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_experts_of_one_layer_count_as_one_with_their_median() -> None:
    tensors = [
        ProfileTensor(name=f"h.{layer}.{expert}", layer=layer, role="mlp.up", values={"std": std})
        for layer in range(4)
        for expert, std in enumerate([0.1 + layer, 0.2 + layer, 99.0 - layer])
    ]
    profile = depth_profile(tensors, statistic="std")[0]
    assert profile.values == pytest.approx([0.2, 1.2, 2.2, 3.2])
    assert profile.spearman == 1.0


def test_equal_or_few_layers_have_no_correlation() -> None:
    assert by_name(model())["std_depth_correlation", "mlp.up"] == ALL_EQUAL
    assert by_name(model(3))["std_depth_correlation", "mlp.up"] == FEW_LAYERS


def test_the_projections_profile_has_length_one_and_no_scale() -> None:
    tensors = [
        ProfileTensor(name=f"{layer}.{role}", layer=layer, role=role, values={"std": std})
        for layer in range(3)
        for role, std in {"attention.query": 3.0, "mlp.down": 4.0}.items()
    ]
    profile = projection_std_profile(tensors)
    assert profile == pytest.approx({"attention.query": 0.6, "mlp.down": 0.8})


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_shrinking_every_weight_alike_drifts_nowhere(scale: float) -> None:
    now, first = model(std=scale), model(std=0.02)
    assert projection_std_distance(now, first) == pytest.approx(0.0, abs=1e-15)


def test_widening_one_kind_drifts_by_its_part() -> None:
    first = model(slopes={"attention.query": 0.5, "mlp.up": 0.6}, std=1.0)
    now = [*(t for t in first if t.role == "mlp.up")]
    now += model(slopes={"attention.query": 0.5}, std=3.0)
    expected = np.linalg.norm(np.array([3, 1]) / 10**0.5 - np.array([1, 1]) / 2**0.5)
    assert projection_std_distance(now, first) == pytest.approx(expected)


def test_a_model_without_some_projections_simply_lacks_them() -> None:
    slopes = {role: SLOPES[role] for role in ("attention.query", "mlp.up", "mlp.down")}
    tensors = model(slopes=slopes)
    profile = projection_std_profile(tensors)
    assert isinstance(profile, dict)
    assert list(profile) == list(slopes)
    assert projection_std_distance(tensors, model()) == pytest.approx(0.0, abs=1e-15)
    clusters = spectral_cluster_profile(tensors, rank=16)
    assert not isinstance(clusters, NoValue)
    assert clusters.kinds == tuple(sorted(slopes))


def test_one_kind_of_projection_is_no_profile() -> None:
    assert projection_std_profile(model(slopes={"mlp.up": 0.5})) == ONE_PROJECTION
    assert projection_std_profile(model(std=0.0)) == ALL_ZERO
    assert by_name([])["projection_std_drift", WHOLE_MODEL] == NO_EARLIER


def test_an_empty_model_has_only_reasons() -> None:
    assert all(isinstance(value, NoValue) for value in by_name([]).values())
