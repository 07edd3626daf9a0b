"""Matrices made to break the arithmetic: a finite number or a reason, and never a warning."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.spectra.noise_bulk import LOW_RANK, NO_BULK, TOO_SMALL, BulkFit
from bifurk_service.stats.spectra.spectrum import MatrixSpectrum, measure_spectrum
from bifurk_service.stats.value import ALL_ZERO, TOO_LARGE, NoValue

Matrix = NDArray[np.floating]

SHAPES = [(300, 900), (900, 300), (256, 256), (40, 41), (32, 32), (31, 64), (2, 2), (2, 500)]


def with_entry(matrix: Matrix, value: float) -> Matrix:
    matrix[matrix.shape[0] // 2, matrix.shape[1] // 3] = value
    return matrix


def gaussian(shape: tuple[int, int], seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=shape)


def sparse(shape: tuple[int, int], share: float) -> Matrix:
    return gaussian(shape) * (np.random.default_rng(1).uniform(size=shape) < share)


KINDS: dict[str, Callable[[tuple[int, int]], Matrix]] = {
    "constant": lambda s: np.full(s, 0.25),
    "two values": lambda s: np.sign(gaussian(s)),
    "checkerboard": lambda s: np.where(np.indices(s).sum(axis=0) % 2, 1.0, -1.0),
    "90 % zeros": lambda s: sparse(s, 0.1),
    "99.9 % zeros": lambda s: with_entry(sparse(s, 0.001), 1.0),
    "one entry": lambda s: with_entry(np.zeros(s), -3.0),
    "one huge outlier": lambda s: with_entry(gaussian(s), 1e6),
    "one enormous outlier": lambda s: with_entry(gaussian(s), 1e30),
    "one row": lambda s: gaussian(s) * (np.arange(s[0]) == 1)[:, None],
    "one column": lambda s: gaussian(s) * (np.arange(s[1]) == 1),
    "half of the rows": lambda s: gaussian(s) * (np.arange(s[0]) % 2)[:, None],
    "rank one": lambda s: np.outer(gaussian((s[0], 1)), gaussian((s[1], 1))),
    "identity": lambda s: np.eye(*s),
    "equal rows": lambda s: np.tile(gaussian((1, s[1])), (s[0], 1)),
    "denormals": lambda s: 1e-41 * gaussian(s),
    "near the largest": lambda s: 3.4e38 * np.sign(gaussian(s)),
    "student 2": lambda s: np.random.default_rng(2).standard_t(2, size=s),
    "cauchy": lambda s: np.random.default_rng(3).standard_cauchy(size=s),
    "uniform": lambda s: np.random.default_rng(4).uniform(-1, 1, size=s),
    "rows over 40 decades": lambda s: gaussian(s) * np.logspace(-38, 2, s[0])[:, None],
    "columns over 40 decades": lambda s: gaussian(s) * np.logspace(-38, 2, s[1]),
    "steep": lambda s: gaussian(s) @ np.diag(np.exp(-0.5 * np.arange(s[1]))),
    "positive": lambda s: np.abs(gaussian(s)),
}


def assert_sound(spectrum: MatrixSpectrum | NoValue) -> None:
    if isinstance(spectrum, NoValue):
        assert spectrum.reason
        return
    assert set(spectrum.statistics) == set(names_of(Family.SPECTRUM))
    for name, value in spectrum.statistics.items():
        if isinstance(value, NoValue):
            assert value.reason, name
        else:
            assert type(value) is float, name
            assert math.isfinite(value), name
    values = spectrum.singular_values
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (np.diff(values) <= 0).all()
    json.dumps(spectrum.document(), allow_nan=False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_statistic_is_finite_or_has_a_reason(kind: str, shape: tuple[int, int]) -> None:
    matrix = KINDS[kind](shape).astype(np.float32)
    assert_sound(measure_spectrum(matrix, with_vectors=True))


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_is_of_float64(kind: str) -> None:
    matrix = KINDS[kind]((60, 90))
    assert_sound(measure_spectrum(matrix, with_vectors=True))
    with np.errstate(over="ignore"):
        assert_sound(measure_spectrum(np.minimum(matrix * 1e150, 1e300), with_vectors=True))
    assert_sound(measure_spectrum(matrix * 1e-290, with_vectors=True))


@pytest.mark.parametrize("kind", ["constant", "rank one", "equal rows"])
def test_a_matrix_of_one_direction_says_that_it_has_no_noise(kind: str) -> None:
    spectrum = measure_spectrum(KINDS[kind]((300, 900)).astype(np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    assert spectrum.raw == LOW_RANK
    assert spectrum.biwhitened in (LOW_RANK, NO_BULK)
    assert spectrum.statistics["stable_rank"] == pytest.approx(1.0, abs=1e-5)
    assert spectrum.statistics["effective_rank"] == pytest.approx(1.0, abs=1e-2)
    if kind == "constant":
        assert spectrum.statistics["outlier_constant_overlap"] == pytest.approx(1.0)


def test_equal_singular_values_have_no_largest_direction() -> None:
    spectrum = measure_spectrum(np.eye(64, dtype=np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    assert isinstance(spectrum.statistics["outlier_constant_overlap"], NoValue)
    assert isinstance(spectrum.statistics["outlier_participation"], NoValue)


def test_rows_and_columns_of_zeros_change_no_verdict() -> None:
    noise = gaussian((200, 400))
    padded = np.zeros((260, 500))
    padded[30:230, 20:420] = noise
    alone, within = (measure_spectrum(m.astype(np.float32)) for m in (noise, padded))
    assert isinstance(alone, MatrixSpectrum)
    assert isinstance(within, MatrixSpectrum)
    for before, after in ((alone.raw, within.raw), (alone.biwhitened, within.biwhitened)):
        assert isinstance(before, BulkFit)
        assert isinstance(after, BulkFit)
        assert (after.short, after.long) == (200, 400)
        assert after.sigma == pytest.approx(before.sigma, rel=1e-5)
        assert (after.above, after.below) == (before.above, before.below)


def test_one_huge_entry_hides_nothing_of_the_noise() -> None:
    spectrum = measure_spectrum(KINDS["one enormous outlier"]((300, 900)).astype(np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    white = spectrum.biwhitened
    assert isinstance(white, BulkFit)
    assert (white.above, white.below) == (0, 0)
    assert white.ks_distance < 2 * white.ks_null_99


@pytest.mark.parametrize("shape", [(2, 2), (31, 31), (31, 5_000)])
def test_fewer_than_32_rows_have_no_verdict(shape: tuple[int, int]) -> None:
    spectrum = measure_spectrum(gaussian(shape).astype(np.float32))
    assert isinstance(spectrum, MatrixSpectrum)
    assert spectrum.raw == spectrum.biwhitened == TOO_SMALL
    assert spectrum.statistics["spectrum_outliers"] == TOO_SMALL
    assert isinstance(spectrum.statistics["stable_rank"], float)


def test_zero_and_infinite_results_are_reasons() -> None:
    assert measure_spectrum(np.zeros((40, 50), dtype=np.float32)) == ALL_ZERO
    assert measure_spectrum(np.full((40, 50), 1.7e308)) == TOO_LARGE
