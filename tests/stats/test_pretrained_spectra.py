"""Spectra of real trained weights: every statistic equals scipy's decompositions in float64."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.spectra.spectrum import (
    SINGULAR_VALUE_TOLERANCE,
    MatrixSpectrum,
    measure_spectrum,
)
from bifurk_service.stats.value import NoValue, Value
from tests.pretrained import BERT, CNN, LSTM, tensor_input, weights_of
from tests.stats.oracle_spectrum import (
    Floats,
    biwhitened,
    constant_overlap,
    expected_bulk,
    expected_ranks,
    expected_tail,
    normality,
    participation,
)
from tests.stats.tensors import measure_tensor, number

RELATIVE = 1e-6
"""What the module promises of singular values; whatever follows from them is as near."""
KS_TOLERANCE = 1e-6
"""Absolute: quantiles of the law are interpolated, here and in the oracle."""
VECTOR_TOLERANCE = 1e-4
"""Of what is summed over a vector's components: a direction is as exact as its singular value
is far from the next one."""
LEAST_TAIL = 50
"""Points under which no exponent is told."""

MATRICES = {
    "bert query": (BERT, "encoder.layer.0.attention.self.query.weight"),
    "bert down": (BERT, "encoder.layer.1.output.dense.weight"),
    "bert positions": (BERT, "embeddings.position_embeddings.weight"),
    "cnn conv1": (CNN, "conv1.weight"),
    "lstm input": (LSTM, "lstm.weight_ih_l0"),
    "lstm hidden": (LSTM, "lstm.weight_hh_l2"),
    "lstm projection": (LSTM, "linear.weight"),
}
BIWHITENED = (
    "mp_ks_distance",
    "mp_ks_ratio",
    "spectrum_outliers",
    "spectrum_outliers_below",
    "outlier_strength",
    "outlier_participation",
)


@cache
def tensor(name: str) -> NDArray[np.float32]:
    model, weight = MATRICES[name]
    return weights_of(model)[weight]


@cache
def decomposition(name: str) -> tuple[Floats, Floats, Floats]:
    """Left vectors, descending singular values and right vectors of a matrix [p, n], p <= n."""
    left, singular, right = scipy.linalg.svd(as_wide(tensor(name)), full_matrices=False)
    return left, singular, right.T


@cache
def earlier_vectors(name: str) -> NDArray[np.float32]:
    """Leading vectors of a noisier copy, as they would be kept of a first snapshot."""
    wide = as_wide(tensor(name))
    noisy = wide + 0.3 * np.std(wide) * np.random.default_rng(5).standard_normal(wide.shape)
    vectors = scipy.linalg.eigh(noisy @ noisy.T)[1][:, ::-1]
    return vectors[:, : kept_of(wide.shape[0])].astype(np.float32)


@cache
def measured(name: str) -> MatrixSpectrum:
    matrix = tensor(name).reshape(tensor(name).shape[0], -1)
    spectrum = measure_spectrum(matrix, with_vectors=True, first_vectors=earlier_vectors(name))
    assert isinstance(spectrum, MatrixSpectrum)
    return spectrum


def as_wide(weights: NDArray[np.float32]) -> Floats:
    """Float64 [p, n], p <= n."""
    matrix = weights.reshape(weights.shape[0], -1).astype(np.float64)
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def kept_of(p: int) -> int:
    """How many vectors are looked at at each end."""
    return min(16, p // 8)


def expected(name: str) -> dict[str, float | None]:
    """Every spectrum statistic; None where there is to be none."""
    left, singular, right = decomposition(name)
    p, n = singular.size, right.shape[0]
    kept = kept_of(p)
    cosines = left[:, :kept].T @ earlier_vectors(name).astype(np.float64)
    overlap = max(constant_overlap(left[:, 0]), constant_overlap(right[:, 0]))
    return {
        **expected_ranks(singular),
        **raw_statistics(singular, n),
        **biwhitened_statistics(name),
        "outlier_constant_overlap": overlap,
        **tail_statistics(singular),
        "top_vector_normality": normality(left[:, :kept]) if p > 200 else None,
        "bottom_vector_normality": normality(left[:, -kept:]) if p > 200 else None,
        "subspace_overlap_to_first": float(np.sum(cosines**2) / kept),
    }


def raw_statistics(singular: Floats, n: int) -> dict[str, float | None]:
    bulk = expected_bulk(singular, n)
    if bulk is None:
        return dict.fromkeys(("mp_sigma", "mp_soft_rank", "spectrum_outliers_raw"))
    return {
        "mp_sigma": bulk.sigma,
        "mp_soft_rank": (bulk.upper_edge / singular[0]) ** 2,
        "spectrum_outliers_raw": bulk.above,
    }


def biwhitened_statistics(name: str) -> dict[str, float | None]:
    white = biwhitened(as_wide(tensor(name)))
    left, singular, right = scipy.linalg.svd(white, full_matrices=False)
    p, n = white.shape
    bulk = expected_bulk(singular, n)
    if bulk is None:
        return dict.fromkeys(BIWHITENED)
    fit = measured(name).biwhitened
    assert not isinstance(fit, NoValue)
    values = (
        bulk.ks_distance,
        bulk.ks_distance / fit.ks_null_99,  # the simulated null has tests of its own
        bulk.above,
        bulk.below if p <= 0.9 * n else None,
        singular[0] / bulk.upper_threshold,
        min(participation(left[:, 0]), participation(right[0])),
    )
    return dict(zip(BIWHITENED, values, strict=True))


def tail_statistics(singular: Floats) -> dict[str, float | None]:
    tail = expected_tail(np.sort(singular**2))
    told = tail.count >= LEAST_TAIL
    values = {
        "power_law_alpha": tail.alpha,
        "power_law_xmin": tail.x_min,
        "power_law_ks_distance": tail.ks_distance,
        "power_law_tail_count": tail.count,
    }
    return {name: value if told else None for name, value in values.items()}


def allowed(statistic: str, truth: float) -> float:
    if statistic.startswith("mp_ks"):
        return KS_TOLERANCE * (100 if statistic == "mp_ks_ratio" else 1)
    if statistic in {"outlier_participation", "outlier_constant_overlap"} or "vector" in statistic:
        return VECTOR_TOLERANCE * max(truth, 1.0)
    if statistic == "subspace_overlap_to_first":
        return VECTOR_TOLERANCE
    if statistic == "condition_number":
        return (
            100 * RELATIVE * truth
        )  # of the smallest value, the promise is relative to .01 of the largest
    return RELATIVE * abs(truth)


@pytest.mark.parametrize("name", MATRICES)
def test_every_spectrum_statistic_equals_scipy(name: str) -> None:
    statistics, truths = measured(name).statistics, expected(name)
    assert set(truths) == set(statistics) == set(names_of(Family.SPECTRUM))
    for statistic, truth in truths.items():
        found = statistics[statistic]
        if truth is None:
            assert isinstance(found, NoValue), statistic
        else:
            assert abs(number(found) - truth) <= allowed(statistic, truth), statistic


@pytest.mark.parametrize("name", MATRICES)
def test_singular_values_equal_a_decomposition(name: str) -> None:
    truth = decomposition(name)[1]
    found = measured(name).singular_values
    visible = truth > 0.01 * truth[0]
    np.testing.assert_allclose(found[visible], truth[visible], rtol=SINGULAR_VALUE_TOLERANCE)
    np.testing.assert_allclose(found, truth, atol=SINGULAR_VALUE_TOLERANCE * truth[0])


def test_the_whole_word_embedding_is_measured_as_a_tall_matrix() -> None:
    """30,522 x 384: by its Gram matrix in float64, which is as exact for the largest."""
    embedding = weights_of(BERT)["embeddings.word_embeddings.weight"]
    spectrum = measure_spectrum(embedding)
    assert isinstance(spectrum, MatrixSpectrum)
    wide = embedding.astype(np.float64)
    eigenvalues = scipy.linalg.eigvalsh(wide.T @ wide)[::-1]
    np.testing.assert_allclose(
        spectrum.singular_values, np.sqrt(eigenvalues), rtol=SINGULAR_VALUE_TOLERANCE
    )


@pytest.mark.parametrize("name", ["bert query", "cnn conv1", "lstm input"])
def test_a_tensor_is_measured_as_its_matrix(name: str) -> None:
    """Convolutions out x rest; vectors are on a slower schedule and not asked for here."""
    statistics = measure_tensor(tensor_input(tensor(name)))
    for statistic, value in without_vectors(measured(name).statistics).items():
        assert statistics[statistic] == value, statistic


def without_vectors(statistics: dict[str, Value]) -> dict[str, Value]:
    asked = {"top_vector_normality", "bottom_vector_normality", "subspace_overlap_to_first"}
    return {name: value for name, value in statistics.items() if name not in asked}
