"""Scaled rows and columns: noise of any scale looks alike, and structure stays."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.spectra.biwhitening import Scales, biwhitening_scales
from bifurk_service.stats.spectra.gram import gram
from bifurk_service.stats.spectra.noise_bulk import BulkFit
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum

SHAPES = [(60, 300), (300, 60), (128, 128)]
EVEN = 2e-3
"""Relative: what two rounds leave of Gaussian rows' differences."""
DRAWS = 40

Floats = NDArray[np.float64]


def gaussian(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def scaled(matrix: NDArray[np.floating]) -> tuple[Floats, Scales]:
    """The biwhitened matrix, shorter side first, and its factors."""
    by_short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    scales = biwhitening_scales(
        matrix,
        squares=np.sum(np.square(by_short, dtype=np.float64), axis=1),
        peak=float(np.abs(matrix).max()),
    )
    return scales.short[:, None] * by_short.astype(np.float64) * scales.long, scales


def rms(matrix: Floats, axis: int) -> Floats:
    return np.sqrt(np.mean(np.square(matrix), axis=axis))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_and_columns_come_to_unit_rms(shape: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(2)
    rows, columns = (rng.lognormal(0, 0.7, size) for size in shape)
    white, scales = scaled((gaussian(*shape) * rows[:, None] * columns).astype(dtype))
    np.testing.assert_allclose(rms(white, 0), 1, rtol=1e-5)
    np.testing.assert_allclose(rms(white, 1), 1, rtol=20 * EVEN)
    assert not scales.wide_range


@pytest.mark.parametrize("shape", [(60, 300), (300, 60), (128, 131)])
def test_rows_and_columns_of_zeros_are_left_out(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    alone, _ = scaled(matrix[5:, 7:])
    matrix[:5] = 0
    matrix[:, :7] = 0
    white, scales = scaled(matrix)
    dropped = (5, 7) if shape[0] <= shape[1] else (7, 5)
    assert np.count_nonzero(scales.short == 0) == dropped[0]
    assert np.count_nonzero(scales.long == 0) == dropped[1]
    np.testing.assert_allclose(white[dropped[0] :, dropped[1] :], alone, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [*SHAPES, (60, 40_000), (40_000, 60)])
def test_the_scaled_product_is_that_of_the_scaled_matrix(
    shape: tuple[int, int], dtype: type
) -> None:
    matrix = gaussian(*shape).astype(np.float32)
    white, scales = scaled(matrix)
    product = gram(matrix, np.dtype(dtype), long_scale=scales.long)
    product *= scales.short[:, None] * scales.short
    lower = np.tril(np.ones_like(product)) == 1
    expected = white @ white.T
    np.testing.assert_allclose(product[lower], expected[lower], atol=2e-6 * max(shape))


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (60, 20_000), (20_000, 60)])
def test_scales_too_far_apart_for_float32_are_handled_in_float64(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    expected, _ = scaled(matrix)
    uneven = matrix.copy()
    uneven[3] *= 1e-25
    uneven[:, 8] *= 1e-30
    white, scales = scaled(uneven)
    assert scales.wide_range
    np.testing.assert_allclose(white, expected, rtol=0.05)
    narrow, float32_scales = scaled(uneven.astype(np.float32))
    assert float32_scales.wide_range
    # Where row and column meet, float32 has no number left.
    np.testing.assert_allclose(np.linalg.norm(narrow, 2), np.linalg.norm(white, 2), rtol=2e-3)


def noise(kind: str, seed: int) -> NDArray[np.float32]:
    """A 256 x 1024 matrix with nothing in it."""
    rng = np.random.default_rng([20_261_126, seed])
    shape = (256, 1_024)
    if kind.startswith("student"):
        drawn = rng.standard_t(int(kind[-1]), size=shape)
    elif kind == "uniform":
        drawn = rng.uniform(-1, 1, size=shape)
    else:
        drawn = rng.normal(size=shape)
    if kind == "scales":
        drawn *= rng.lognormal(0, 0.7, size=(256, 1)) * rng.lognormal(0, 0.7, size=1_024)
    if kind == "bfloat16":
        bits = drawn.astype(np.float32).view(np.uint32) + np.uint32(0x8000)
        return (bits & np.uint32(0xFFFF0000)).view(np.float32)
    return drawn.astype(np.float32)


def outliers(matrix: NDArray[np.float32]) -> tuple[int, int]:
    """How many, biwhitened and raw."""
    spectrum = measure_spectrum(matrix)
    assert isinstance(spectrum, MatrixSpectrum)
    white, raw = spectrum.biwhitened, spectrum.raw
    assert isinstance(white, BulkFit)
    return white.above + white.below, raw.above if isinstance(raw, BulkFit) else 128


@pytest.mark.parametrize(
    "kind", ["gaussian", "student3", "student5", "scales", "uniform", "bfloat16"]
)
def test_noise_of_any_kind_has_no_biwhitened_outliers(kind: str) -> None:
    """40 draws with 1 % false alarms: more than 2 once in 130; with 10 %, more in 3 of 4.

    `benchmarks/random_matrix_null.py` draws 2,000.
    """
    counts = np.array([outliers(noise(kind, seed)) for seed in range(DRAWS)])
    assert np.count_nonzero(counts[:, 0]) <= 2
    if kind in ("student3", "scales"):  # which the raw spectrum shows in every matrix
        assert np.count_nonzero(counts[:, 1]) >= 0.9 * DRAWS


@pytest.mark.parametrize("kind", ["gaussian", "student3"])
def test_a_spike_well_above_the_threshold_is_found(kind: str) -> None:
    """1.5 times sigma (p n)^(1/4): nearly always found; 20 draws."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        left, right = (rng.normal(size=size) for size in (256, 1_024))
        matrix = noise(kind, seed)
        spike = np.outer(left / np.linalg.norm(left), right / np.linalg.norm(right))
        strength = 1.5 * matrix.std() * matrix.size**0.25
        found += outliers((matrix + strength * spike).astype(np.float32))[0] > 0
    assert found >= 19
