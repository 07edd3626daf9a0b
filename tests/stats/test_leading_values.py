"""Leading singular values between layers, and tails: scipy's distances, planted exponents."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from bifurk_service.stats.layers.leading_values import FEW_SPECTRA
from bifurk_service.stats.layers.profile import (
    ProfileTensor,
    leading_value_profile,
)
from bifurk_service.stats.layers.tail import FEW_VALUES, NARROW, NO_POWER_LAW, TailFit, fit_tail
from tests.stats.layered import spectrum


def test_distances_between_layers_are_scipys_cosine_distances() -> None:
    members = [
        ProfileTensor(
            name=f"h.{i}",
            layer=i,
            role="mlp.up",
            values={},
            singular_values=spectrum(0.1 + 0.1 * i),
        )
        for i in range(5)
    ]
    profile = leading_value_profile(members[::-1])[0]
    vectors = np.array([m.singular_values[:16] for m in members if m.singular_values is not None])
    expected = scipy.spatial.distance.cdist(vectors, vectors, "cosine")
    assert profile.distances == pytest.approx(expected, abs=1e-12)
    assert profile.mean_distance == pytest.approx(expected[np.triu_indices(5, k=1)].mean())
    assert profile.layers.tolist() == [0, 1, 2, 3, 4]
    assert leading_value_profile(members[:1])[0].mean_distance == FEW_SPECTRA


@pytest.mark.parametrize("seed", range(5))
def test_the_exponent_of_a_pareto_tail_is_found(seed: int) -> None:
    values = 1 + np.random.default_rng(seed).pareto(1.5, size=5_000)
    fit = fit_tail(values)
    assert isinstance(fit, TailFit)
    assert abs(fit.exponent - 2.5) < 4 * fit.stderr
    assert fit.exponent == pytest.approx(2.5, abs=0.2)
    scaled = fit_tail(1e-3 * values)
    assert isinstance(scaled, TailFit)
    assert scaled.exponent == pytest.approx(fit.exponent, rel=1e-9)


def test_a_tail_under_a_bulk_is_found_where_it_begins() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.uniform(0, 1, 3_000), 1 + rng.pareto(2.0, 2_000)])
    fit = fit_tail(values)
    assert isinstance(fit, TailFit)
    assert fit.start == pytest.approx(1.0, abs=0.15)
    assert fit.exponent == pytest.approx(3.0, abs=0.25)


def test_what_is_no_power_law_has_no_exponent() -> None:
    rng = np.random.default_rng(0)
    assert fit_tail(rng.pareto(1.5, 49)) == FEW_VALUES
    assert fit_tail(np.full(500, 3.0)) == NARROW
    assert fit_tail(rng.uniform(1, 1.5, 500)) == NARROW
    assert fit_tail(np.repeat([1.0, 5.0], 30)) == NO_POWER_LAW
    assert fit_tail(np.zeros(200)) == FEW_VALUES


def test_gaussian_matrices_have_alike_layers_and_no_tail() -> None:
    rng = np.random.default_rng(0)
    matrices = [
        ProfileTensor(
            name=f"h.{i}",
            layer=i,
            role="mlp.up",
            values={},
            singular_values=np.linalg.svd(rng.normal(size=(128, 256)), compute_uv=False),
        )
        for i in range(12)
    ]
    profile = leading_value_profile(matrices)[0]
    assert isinstance(profile.mean_distance, float)
    assert profile.mean_distance < 2e-4
    assert profile.value_tail == NARROW
