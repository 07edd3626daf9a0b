"""The spectrum of one matrix: as good as a decomposition, and clear where there is none."""

from __future__ import annotations

import json
from typing import NoReturn

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.spectra import spectrum_pass
from bifurk_service.stats.spectra.noise_bulk import NO_BULK, BulkFit
from bifurk_service.stats.spectra.spectrum import (
    EFFECTIVE_RANK_TOLERANCE,
    NOT_ASKED,
    SINGULAR_VALUE_TOLERANCE,
    MatrixSpectrum,
    matrix_of,
    measure_spectrum,
    no_spectrum,
)
from bifurk_service.stats.value import (
    ALL_ZERO,
    EMPTY,
    FULL_NOT_SENT,
    INCOMPLETE,
    NO_CONVERGENCE,
    NOT_A_MATRIX,
    NOT_FINITE,
    TOO_NARROW,
    NoValue,
)
from tests.pretrained import BERT, CNN, LSTM, Pretrained, weights_of
from tests.stats.tensors import DTYPES, exact, number

SHAPES = [(2, 2), (64, 10), (59, 256), (128, 128), (48, 3, 7, 7), (31, 1, 9)]
BOTH_WAYS = 1e-5
"""Relative: a matrix and its transpose are multiplied out in float32 in another order."""

Floats = NDArray[np.float64]


def gaussian(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def spectrum_of(matrix: NDArray[np.floating], **choices: bool) -> MatrixSpectrum:
    spectrum = measure_spectrum(matrix, **choices)
    assert isinstance(spectrum, MatrixSpectrum), spectrum
    return spectrum


def float32(matrix: Floats) -> NDArray[np.float32]:
    return matrix.astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_spectrum_equals_a_singular_value_decomposition(
    shape: tuple[int, ...], dtype: str
) -> None:
    values = exact(gaussian(*shape), dtype)
    matrix = matrix_of(shape, values)
    assert not isinstance(matrix, NoValue)
    spectrum = spectrum_of(matrix)
    expected = np.linalg.svd(values.float64().reshape(shape[0], -1), compute_uv=False)
    np.testing.assert_allclose(spectrum.singular_values, expected, rtol=1e-9)
    share = expected / np.sum(expected)
    truth = {
        "spectral_norm": expected[0],
        "stable_rank": np.sum(expected**2) / expected[0] ** 2,
        "effective_rank": np.exp(scipy.stats.entropy(share)),
        "condition_number": expected[0] / expected[-1],
    }
    for name, value in truth.items():
        assert spectrum.statistics[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("shape", [(512, 1024), (1200, 300), (600, 640)])
def test_large_matrices_are_within_the_stated_tolerance(shape: tuple[int, int]) -> None:
    matrix = float32(gaussian(*shape))
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    measured = spectrum_of(matrix, biwhitened=False).singular_values
    np.testing.assert_allclose(measured, expected, rtol=SINGULAR_VALUE_TOLERANCE)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (BERT, "encoder.layer.0.attention.self.query.weight"),
        (BERT, "encoder.layer.5.intermediate.dense.weight"),
        (BERT, "embeddings.position_embeddings.weight"),
        (CNN, "conv3.weight"),
        (CNN, "classifier.weight"),
        (LSTM, "lstm.weight_ih_l0"),
        (LSTM, "lstm.weight_hh_l2"),
    ],
)
def test_the_spectrum_of_trained_weights_equals_a_decomposition(
    model: Pretrained, name: str
) -> None:
    weights = weights_of(model)[name]
    matrix = matrix_of(weights.shape, exact(weights))
    assert not isinstance(matrix, NoValue)
    spectrum = spectrum_of(matrix)
    exactly = matrix.astype(np.float64)
    left, expected, right = np.linalg.svd(exactly, full_matrices=False)
    resolved = expected > 0.01 * expected[0]
    np.testing.assert_allclose(
        spectrum.singular_values[resolved], expected[resolved], rtol=SINGULAR_VALUE_TOLERANCE
    )
    ranks = {
        "spectral_norm": expected[0],
        "stable_rank": np.sum(exactly**2) / expected[0] ** 2,
        "effective_rank": np.exp(scipy.stats.entropy(expected / np.sum(expected))),
        "outlier_constant_overlap": max(
            abs(left[:, 0].sum()) / np.sqrt(left.shape[0]),
            abs(right[0].sum()) / np.sqrt(right.shape[1]),
        ),
    }
    for statistic, value in ranks.items():
        assert spectrum.statistics[statistic] == pytest.approx(value, rel=1e-5), statistic
    if isinstance(spectrum.raw, BulkFit):  # some trained matrices have no bulk of noise left
        beyond = np.count_nonzero(spectrum.singular_values > spectrum.raw.upper_threshold)
        assert spectrum.statistics["spectrum_outliers_raw"] == beyond > 0
    else:
        assert spectrum.statistics["spectrum_outliers_raw"] == NO_BULK


def test_nearly_dependent_rows_are_multiplied_out_in_float64() -> None:
    """The smallest singular value is a ten-thousandth: a float32 product would lose it."""
    matrix = gaussian(400, 1000)
    matrix[0] = matrix[1] + 1e-4 * matrix[0]
    matrix = float32(matrix)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    measured = spectrum_of(matrix, biwhitened=False).singular_values
    np.testing.assert_allclose(measured, expected, rtol=SINGULAR_VALUE_TOLERANCE)


def test_known_matrices_have_their_known_ranks() -> None:
    rotation, _ = np.linalg.qr(gaussian(40, 40))
    ranks = ("spectral_norm", "stable_rank", "effective_rank", "condition_number")
    statistics = spectrum_of(rotation).statistics
    assert [statistics[name] for name in ranks] == pytest.approx([1.0, 40.0, 40.0, 1.0])
    outer = np.outer(np.arange(1.0, 31.0), np.arange(1.0, 51.0))
    statistics = spectrum_of(float32(outer)).statistics
    assert [statistics[name] for name in ranks[:3]] == pytest.approx(
        [np.linalg.norm(outer), 1.0, 1.0], rel=EFFECTIVE_RANK_TOLERANCE
    )
    assert isinstance(statistics["condition_number"], NoValue)


def test_a_fresh_initialisation_fills_the_marchenko_pastur_bulk() -> None:
    """512 x 2048 with sigma = 0.02: edges .45255 and 1.35765"""
    spectrum = spectrum_of(float32(0.02 * gaussian(512, 2048)))
    raw, white = spectrum.raw, spectrum.biwhitened
    assert isinstance(raw, BulkFit)
    assert isinstance(white, BulkFit)
    assert raw.sigma == pytest.approx(0.02, rel=2e-3)
    assert (raw.lower_edge, raw.upper_edge) == pytest.approx((0.45255, 1.35765), rel=2e-3)
    assert (raw.above, raw.below, white.above, white.below) == (0, 0, 0, 0)
    assert white.ks_distance < white.ks_null_99
    assert white.sigma == pytest.approx(1.0, rel=2e-3)
    assert number(spectrum.statistics["mp_ks_ratio"]) < 1
    assert number(spectrum.statistics["outlier_strength"]) < 1
    assert number(spectrum.statistics["mp_soft_rank"]) == pytest.approx(1.0, abs=0.05)


def shrunk_to_a_fifth(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise, one direction of which has .2 of the others' gain."""
    noise, direction = gaussian(rows, columns, seed=seed), gaussian(rows, seed=seed + 10_000)
    direction /= np.linalg.norm(direction)
    return float32(noise - 0.8 * np.outer(direction, direction @ noise))


def test_a_direction_shrunk_to_a_fifth_is_a_lower_outlier_at_its_known_place() -> None:
    """K x N with K/N = 1/4: in units of sigma sqrt(N) it lies at .1720, below the bulk's .5.

    sqrt(l + l (K/N) / (l - 1)) with l = .2^2 (Baik and Silverstein 2006). One value of 128 x 512
    strays by .0066, so the mean of 16 by .0017.
    """
    draws = [spectrum_of(shrunk_to_a_fifth(128, 512, seed)) for seed in range(16)]
    smallest = [spectrum.singular_values[-1] / np.sqrt(512) for spectrum in draws]
    assert np.mean(smallest) == pytest.approx(0.1720, abs=0.005)
    spectrum = spectrum_of(shrunk_to_a_fifth(256, 1024))
    assert [(o.side, o.vectors is not None) for o in spectrum.outliers] == [("below", True)]
    assert spectrum.statistics["spectrum_outliers_below"] == 1.0
    assert spectrum.statistics["spectrum_outliers"] == 0.0


def with_spikes(strengths: list[float], rows: int = 256, columns: int = 600) -> Floats:
    noise = gaussian(rows, columns)
    left, _ = np.linalg.qr(gaussian(rows, len(strengths), seed=1))
    right, _ = np.linalg.qr(gaussian(columns, len(strengths), seed=2))
    return noise + (left * strengths * (rows * columns) ** 0.25) @ right.T


def test_outliers_are_counted_on_both_spectra_with_what_they_look_like() -> None:
    spectrum = spectrum_of(float32(0.1 * with_spikes([6.0, 4.0, 2.0])))
    assert spectrum.statistics["spectrum_outliers"] == 3.0
    assert spectrum.statistics["spectrum_outliers_raw"] == 3.0
    assert [o.side for o in spectrum.outliers] == ["above"] * 3
    values = [o.value for o in spectrum.raw_outliers]
    np.testing.assert_allclose(values, spectrum.singular_values[:3])
    assert number(spectrum.statistics["outlier_strength"]) > 2
    assert number(spectrum.statistics["mp_soft_rank"]) < 0.3
    assert number(spectrum.statistics["mp_sigma"]) == pytest.approx(0.1, rel=0.01)
    assert number(spectrum.statistics["outlier_participation"]) == pytest.approx(1 / 3, abs=0.1)


def test_a_shared_offset_is_told_by_its_overlap_with_the_constant_vector() -> None:
    spectrum = spectrum_of(float32(gaussian(256, 1024) + 0.2))
    assert spectrum.statistics["spectrum_outliers"] == 1.0
    assert number(spectrum.statistics["outlier_constant_overlap"]) > 0.95
    vectors = spectrum.outliers[0].vectors
    assert vectors is not None
    assert min(vectors.row_constant_overlap, vectors.column_constant_overlap) > 0.9


def test_a_single_hot_row_and_column_pair_is_told_by_its_participation() -> None:
    matrix = gaussian(256, 256)
    matrix[:8, :8] += 12
    spectrum = spectrum_of(float32(matrix))
    assert number(spectrum.statistics["spectrum_outliers"]) >= 1
    assert number(spectrum.statistics["outlier_participation"]) < 0.1


def test_the_vectors_of_only_so_many_outliers_are_looked_at() -> None:
    spectrum = spectrum_of(float32(with_spikes([20.0 - 0.2 * i for i in range(40)])))
    assert len(spectrum.raw_outliers) == 40
    looked_at = [outlier.vectors is not None for outlier in spectrum.raw_outliers]
    assert looked_at == [True] * spectrum_pass.OUTLIER_VECTORS + [False] * 8


def all_numbers(spectrum: MatrixSpectrum) -> dict[str, float]:
    return {n: v for n, v in spectrum.statistics.items() if not isinstance(v, NoValue)}


IN_WEIGHTS = {"spectral_norm": 1, "mp_sigma": 1, "power_law_xmin": 2}
"""Statistics in the weights' unit, or in its square."""


@pytest.mark.parametrize("exponent", [-140, -30, 3, 100])
def test_scaling_by_a_power_of_two_scales_what_has_a_unit_and_changes_nothing_else(
    exponent: int,
) -> None:
    plain = with_spikes([3.0])
    before, after = (spectrum_of(np.ldexp(plain, e)) for e in (0, exponent))
    expected = {
        name: np.ldexp(value, exponent * IN_WEIGHTS.get(name, 0))
        for name, value in all_numbers(before).items()
    }
    assert all_numbers(after) == pytest.approx(expected, rel=1e-9)


def test_any_other_factor_does_too() -> None:
    plain = with_spikes([3.0])
    before, after = spectrum_of(plain), spectrum_of(-0.37 * plain)
    expected = {
        name: value * 0.37 ** IN_WEIGHTS.get(name, 0) for name, value in all_numbers(before).items()
    }
    assert all_numbers(after) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("turned", ["sign", "transpose", "rows", "columns", "row signs"])
def test_what_is_no_property_of_a_spectrum_does_not_change_it(turned: str) -> None:
    plain = float32(with_spikes([3.0, 2.0], 256, 1100))
    rng = np.random.default_rng(5)
    changed = {
        "sign": -plain,
        "transpose": np.ascontiguousarray(plain.T),
        "rows": plain[rng.permutation(256)],
        "columns": plain[:, rng.permutation(1100)],
        "row signs": plain * rng.choice(np.float32([-1, 1]), size=(256, 1)),
    }[turned]
    before, after = all_numbers(spectrum_of(plain)), all_numbers(spectrum_of(changed))
    if turned == "row signs":  # a sign a row turns the constant vector itself
        before["outlier_constant_overlap"] = after["outlier_constant_overlap"] = 0.0
    assert after == pytest.approx(before, rel=BOTH_WAYS)


def test_every_layout_in_memory_is_read_alike() -> None:
    plain = float32(with_spikes([3.0], 256, 1100))
    padded = np.zeros((256, 2200), dtype=np.float32)
    padded[:, ::2] = plain
    before = all_numbers(spectrum_of(plain))
    for layout in (np.asfortranarray(plain), padded[:, ::2]):
        assert all_numbers(spectrum_of(layout)) == pytest.approx(before, rel=BOTH_WAYS)


def test_every_statistic_of_the_family_is_there_with_and_without_the_second_pass() -> None:
    matrix = float32(gaussian(256, 300))
    raw_only, both = spectrum_of(matrix, biwhitened=False), spectrum_of(matrix, with_vectors=True)
    for spectrum in (raw_only, both):
        assert set(spectrum.statistics) == set(names_of(Family.SPECTRUM))
    assert raw_only.biwhitened == raw_only.statistics["spectrum_outliers"] == NOT_ASKED
    raw = {n: v for n, v in all_numbers(raw_only).items() if "vector" not in n}
    assert raw.items() <= all_numbers(both).items()


def test_the_document_is_json_and_says_what_it_rests_on() -> None:
    told = json.loads(json.dumps(spectrum_of(float32(with_spikes([3.0]))).document()))
    assert set(told) == {"raw", "biwhitened", "power_law"}
    assert (told["raw"]["p"], told["raw"]["n"]) == (256, 600)
    assert told["raw"]["sigma"] == pytest.approx(1.0, rel=0.02)
    assert told["biwhitened"]["above"] == len(told["biwhitened"]["outliers"]) == 1
    assert 0 < told["biwhitened"]["outliers"][0]["row_participation"] < 1
    square = spectrum_of(float32(gaussian(64, 64))).document()
    assert "no_verdict" in square["biwhitened"]["below"]
    small = spectrum_of(float32(gaussian(20, 30))).document()
    assert "no_verdict" in small["raw"]
    assert "no_verdict" in small["power_law"]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((7,), NOT_A_MATRIX), ((), NOT_A_MATRIX), ((1, 9), TOO_NARROW), ((9, 1, 1), TOO_NARROW)],
)
def test_what_is_no_matrix_has_no_spectrum(shape: tuple[int, ...], reason: NoValue) -> None:
    assert matrix_of(shape, exact(np.ones(shape))) == reason


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (3, 0, 2)])
def test_a_matrix_without_elements_has_no_spectrum(shape: tuple[int, ...]) -> None:
    assert matrix_of(shape, exact(np.ones(shape))) == EMPTY


def test_values_that_were_not_sent_or_came_in_part_are_told_apart() -> None:
    assert matrix_of((5, 4), None) == FULL_NOT_SENT
    assert matrix_of((5, 4), exact(np.ones((3, 4)))) == INCOMPLETE


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_entry_leaves_no_spectrum(bad: float) -> None:
    matrix = gaussian(10, 10)
    matrix[3, 4] = bad
    assert matrix_of((10, 10), exact(matrix)) == NOT_FINITE


def test_a_zero_matrix_has_no_directions() -> None:
    assert measure_spectrum(np.zeros((10, 10), dtype=np.float32)) == ALL_ZERO
    assert set(no_spectrum(ALL_ZERO).values()) == {ALL_ZERO}


def test_a_solver_that_gives_up_is_a_reason_and_not_an_error() -> None:
    def give_up(_: Floats) -> NoReturn:
        raise np.linalg.LinAlgError("did not converge")

    assert measure_spectrum(gaussian(10, 10), solver=give_up) == NO_CONVERGENCE
