"""Singular values by the Gram matrix: as good as a decomposition, and clear where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk_service.stats.spectrum import (
    EFFECTIVE_RANK_TOLERANCE,
    SINGULAR_VALUE_TOLERANCE,
    singular_values,
    spectrum_statistics,
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
    Value,
)
from tests.stats.oracle import expected_spectrum
from tests.stats.tensors import DTYPES, exact

SHAPES = [(2, 2), (64, 10), (59, 256), (128, 128), (48, 3, 7, 7), (31, 1, 9)]


def gaussian(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def measured(values: Exact) -> dict[str, Value]:
    return spectrum_statistics(values.data.shape, values)


def nothing(reason: NoValue) -> dict[str, Value]:
    return dict.fromkeys(("spectral_norm", "stable_rank", "effective_rank"), reason)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_spectrum_equals_a_singular_value_decomposition(
    shape: tuple[int, ...], dtype: str
) -> None:
    values = exact(gaussian(*shape), dtype)
    expected = expected_spectrum(values.float64())
    assert measured(values) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", [(512, 1024), (1200, 300), (600, 640)])
def test_large_matrices_are_within_the_stated_tolerance(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape).astype(np.float32)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(singular_values(matrix), expected, rtol=SINGULAR_VALUE_TOLERANCE)


@pytest.mark.parametrize(("rank", "noise"), [(1, 0.0), (4, 1e-3), (4, 1e-2), (1, 0.1)])
def test_a_collapsed_matrix_shows_its_effective_rank(rank: int, noise: float) -> None:
    matrix = gaussian(512, rank) @ gaussian(rank, 1024, seed=1) + noise * gaussian(512, 1024)
    values = exact(matrix, "float64")
    expected = expected_spectrum(matrix)
    statistics = measured(values)
    assert statistics["effective_rank"] == pytest.approx(
        expected["effective_rank"], rel=EFFECTIVE_RANK_TOLERANCE
    )
    assert statistics["stable_rank"] == pytest.approx(expected["stable_rank"], rel=1e-6)


def test_a_rotation_has_full_rank_and_one_direction_has_rank_one() -> None:
    rotation, _ = np.linalg.qr(gaussian(40, 40))
    assert measured(exact(rotation, "float64")) == pytest.approx(
        {"spectral_norm": 1.0, "stable_rank": 40.0, "effective_rank": 40.0}
    )
    outer = np.outer(np.arange(1.0, 31.0), np.arange(1.0, 51.0))
    assert measured(exact(outer)) == pytest.approx(
        {"spectral_norm": np.linalg.norm(outer), "stable_rank": 1.0, "effective_rank": 1.0},
        rel=EFFECTIVE_RANK_TOLERANCE,
    )


def test_a_fresh_initialisation_fills_the_marchenko_pastur_bulk() -> None:
    """Edges sigma sqrt(n) (1 -+ sqrt(p/n)) of a 512 x 2048 matrix with sigma = 0.02.

    The extremes stay inside by about p^(-2/3) of the bulk's width.
    """
    singular = singular_values((0.02 * gaussian(512, 2048)).astype(np.float32))
    assert singular[-1] == pytest.approx(0.45255, rel=0.02)
    assert singular[0] == pytest.approx(1.35765, rel=0.02)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e30, 1e38])
def test_the_ranks_do_not_depend_on_the_size_of_the_weights(scale: float) -> None:
    signs = np.sign(gaussian(20, 30))
    plain, scaled = measured(exact(signs)), measured(exact(signs * scale))
    assert scaled["stable_rank"] == pytest.approx(plain["stable_rank"])
    assert scaled["effective_rank"] == pytest.approx(plain["effective_rank"])


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((7,), NOT_A_MATRIX), ((), NOT_A_MATRIX), ((1, 9), TOO_NARROW), ((9, 1, 1), TOO_NARROW)],
)
def test_what_is_no_matrix_has_no_spectrum(shape: tuple[int, ...], reason: NoValue) -> None:
    assert spectrum_statistics(shape, exact(np.ones(shape))) == nothing(reason)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (3, 0, 2)])
def test_a_matrix_without_elements_has_no_spectrum(shape: tuple[int, ...]) -> None:
    assert spectrum_statistics(shape, exact(np.ones(shape))) == nothing(EMPTY)


def test_values_that_were_not_sent_or_came_in_part_are_told_apart() -> None:
    assert spectrum_statistics((5, 4), None) == nothing(FULL_NOT_SENT)
    assert spectrum_statistics((5, 4), exact(np.ones((3, 4)))) == nothing(INCOMPLETE)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_entry_leaves_no_spectrum(bad: float) -> None:
    matrix = gaussian(10, 10)
    matrix[3, 4] = bad
    assert measured(exact(matrix)) == nothing(NOT_FINITE)


def test_a_zero_matrix_has_no_directions() -> None:
    assert measured(exact(np.zeros((10, 10)))) == nothing(ALL_ZERO)


def test_a_solver_that_gives_up_is_a_reason_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def give_up(_: NDArray[np.float64]) -> NDArray[np.float64]:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(np.linalg, "eigvalsh", give_up)
    assert measured(exact(gaussian(10, 10))) == nothing(NO_CONVERGENCE)
