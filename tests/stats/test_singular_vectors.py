"""Singular vectors from one reduction, and what they look like."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from bifurk_service.stats.spectra.biwhitening import biwhitening_scales
from bifurk_service.stats.spectra.singular_vectors import (
    constant_overlaps,
    long_side_vectors,
    normality,
    participation_ratios,
    subspace_overlap,
)
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum
from bifurk_service.stats.spectra.tridiagonal import reduce_symmetric
from bifurk_service.stats.value import INCOMPARABLE, NO_EARLIER, NoValue
from tests.stats.tensors import number

Floats = NDArray[np.float64]


def gaussian(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def measured(matrix: NDArray[np.floating], first: Floats | None = None) -> MatrixSpectrum:
    vectors = None if first is None else first.astype(np.float32)
    spectrum = measure_spectrum(matrix, with_vectors=True, first_vectors=vectors)
    assert isinstance(spectrum, MatrixSpectrum), spectrum
    return spectrum


@pytest.mark.parametrize("size", [2, 3, 17, 130, 300])
def test_eigenvalues_and_vectors_of_one_reduction_equal_a_full_decomposition(size: int) -> None:
    half = gaussian(size, size + 20)
    gram = half @ half.T
    values, vectors = np.linalg.eigh(gram)
    reduced = reduce_symmetric(np.asfortranarray(gram))
    np.testing.assert_allclose(reduced.eigenvalues, values[::-1], rtol=1e-11, atol=1e-11)
    for begin, end in ((0, 1), (0, min(size, 5)), (size - 2, size), (0, size)):
        found = reduced.vectors(begin, end)
        expected = vectors[:, ::-1][:, begin:end]
        np.testing.assert_allclose(found.T @ found, np.eye(end - begin), atol=1e-9)
        np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), 1, atol=1e-7)


def test_equal_eigenvalues_have_an_orthonormal_basis() -> None:
    gram = np.asfortranarray(np.eye(50))
    gram[3, 3] = 2.0
    found = reduce_symmetric(gram).vectors(0, 6)
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-12)
    assert abs(found[3, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (80, 80)])
def test_partners_along_the_longer_side_equal_a_decomposition(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    short, long = (left, right.T) if shape[0] <= shape[1] else (right.T, left)
    found = long_side_vectors(matrix, short[:, :4])
    np.testing.assert_allclose(found, long[:, :4], atol=1e-10)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_partners_of_a_scaled_matrix_need_no_scaled_matrix(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape) * np.random.default_rng(1).lognormal(0, 1, size=shape[1])
    by_short = matrix if shape[0] <= shape[1] else matrix.T
    scales = biwhitening_scales(
        matrix, squares=np.sum(by_short**2, axis=1), peak=float(np.abs(matrix).max())
    )
    scaled = scales.short[:, None] * by_short * scales.long
    left, _, right = np.linalg.svd(scaled, full_matrices=False)
    found = long_side_vectors(matrix, left[:, :3], scales=scales)
    np.testing.assert_allclose(found, right[:3].T, atol=1e-6)


def test_participation_and_constant_overlap_of_known_vectors() -> None:
    vectors = np.column_stack(
        (np.eye(100)[0], np.full(100, 0.1), np.r_[np.full(25, 0.2), [0] * 75])
    )
    np.testing.assert_allclose(participation_ratios(vectors), [0.01, 1.0, 0.25])
    np.testing.assert_allclose(constant_overlaps(vectors), [0.1, 1.0, 0.5])
    random = gaussian(20_000, 1)
    random /= np.linalg.norm(random)
    assert participation_ratios(random)[0] == pytest.approx(1 / 3, abs=0.01)


def test_normality_is_the_largest_distance_to_the_normal_law() -> None:
    vectors, _ = np.linalg.qr(gaussian(400, 5))
    distances = [scipy.stats.kstest(20 * vectors[:, i], "norm").statistic for i in range(5)]
    assert normality(vectors) == pytest.approx(20 * max(distances))


def test_vectors_of_noise_are_normal_and_a_localised_one_is_not() -> None:
    noise = gaussian(300, 900)
    plain = measured(noise.astype(np.float32)).statistics
    assert number(plain["top_vector_normality"]) < 2
    assert number(plain["bottom_vector_normality"]) < 2
    noise[:10, :30] += 8
    localised = measured(noise.astype(np.float32)).statistics
    assert number(localised["top_vector_normality"]) > 4
    assert number(localised["bottom_vector_normality"]) < 2


def test_short_vectors_and_those_without_gain_are_not_compared() -> None:
    short = measured(gaussian(200, 300)).statistics
    assert isinstance(short["top_vector_normality"], NoValue)
    assert isinstance(short["bottom_vector_normality"], NoValue)
    deficient = measured(gaussian(300, 100) @ gaussian(100, 400, seed=1)).statistics
    assert isinstance(deficient["bottom_vector_normality"], NoValue)
    assert isinstance(deficient["top_vector_normality"], float)


@pytest.mark.parametrize("shape", [(200, 500), (500, 200)])
def test_leading_vectors_are_those_along_the_shorter_side(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    expected = left if shape[0] <= shape[1] else right.T
    vectors = measured(matrix).top_vectors
    assert vectors is not None
    assert vectors.shape == (200, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.abs(np.sum(vectors * expected[:, :16], axis=0)), 1, atol=1e-5)


def test_overlap_with_the_first_snapshot_is_one_for_the_same_and_small_for_another() -> None:
    first = measured(gaussian(240, 500)).top_vectors
    assert first is not None
    same = measured(gaussian(240, 500), first).statistics["subspace_overlap_to_first"]
    other = measured(gaussian(240, 500, seed=1), first).statistics["subspace_overlap_to_first"]
    assert same == pytest.approx(1.0, abs=1e-6)
    assert number(other) == pytest.approx(16 / 240, abs=0.03)


def test_overlap_of_planes_is_that_of_their_principal_angles() -> None:
    axes = np.eye(5)
    turned = np.column_stack((np.cos(0.3) * axes[:, 0] + np.sin(0.3) * axes[:, 3], axes[:, 4]))
    assert subspace_overlap(axes[:, :2], turned) == pytest.approx(np.cos(0.3) ** 2 / 2)


def test_without_an_earlier_snapshot_or_with_another_shape_there_is_no_overlap() -> None:
    def overlap(first: Floats | None) -> object:
        return measured(gaussian(240, 500), first).statistics["subspace_overlap_to_first"]

    assert overlap(None) == NO_EARLIER
    assert overlap(np.eye(200)[:, :16]) == INCOMPARABLE
