"""Fused tensors taken apart, and which spectra have their turn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.packing import Packing
from bifurk.sketch import SAMPLE_SIZE, sample_positions
from bifurk_service.stats.measure import OUT_OF_TIME, TensorInput, measure_tensors
from bifurk_service.stats.pieces import pieces_of
from bifurk_service.stats.spectra.plan import SpectraPlan, vectors_due
from bifurk_service.stats.spectra.spectrum import measure_spectrum
from bifurk_service.stats.value import NoValue
from tests.stats.tensors import exact, large, number, small, weights

QUERY, KEY, VALUE = "attention.query", "attention.key", "attention.value"
HEADS, HEAD = 6, 16
THIRDS = Packing(axis=0, groups=1, pieces=((QUERY, 96), (KEY, 96), (VALUE, 96)))
BY_HEAD = Packing(axis=0, groups=HEADS, pieces=((QUERY, HEAD), (KEY, HEAD), (VALUE, HEAD)))
COLUMNS = Packing(axis=1, groups=1, pieces=((QUERY, 64), (KEY, 16), (VALUE, 16)))


def rows_of(packing: Packing, role: str, length: int) -> NDArray[np.bool_]:
    """Which of the indices along the packed axis are this role's, counted one by one."""
    owner = [
        name for _ in range(packing.groups) for name, size in packing.pieces for _ in range(size)
    ]
    assert len(owner) == length
    return np.array([name == role for name in owner])


@pytest.mark.parametrize("packing", [THIRDS, BY_HEAD, COLUMNS], ids=["thirds", "heads", "columns"])
def test_pieces_hold_the_values_and_the_samples_of_their_own_places(packing: Packing) -> None:
    values = weights("gaussian", 288 * 96).reshape(288, 96)
    now, before = exact(values, "float64"), exact(1.5 * values, "float64")
    positions = sample_positions(values.size)
    fused = large(
        now,
        full=now,
        trace=Exact(dtype="float64", data=now.data.reshape(-1)[positions]),
        previous_trace=Exact(dtype="float64", data=before.data.reshape(-1)[positions]),
        previous_full=before,
    )
    pieces = {piece.role: piece for piece in pieces_of("w", fused, packing)}
    assert list(pieces) == [QUERY, KEY, VALUE]
    for role, piece in pieces.items():
        own = rows_of(packing, role, values.shape[packing.axis])
        expected = values[own] if packing.axis == 0 else values[:, own]
        assert piece.name == f"w[{role.rpartition('.')[2]}]"
        assert piece.tensor.full is not None
        assert piece.tensor.previous_full is not None
        np.testing.assert_array_equal(piece.tensor.full.float64(), expected)
        np.testing.assert_array_equal(piece.tensor.previous_full.float64(), 1.5 * expected)
        along = positions // 96 if packing.axis == 0 else positions % 96
        assert piece.tensor.trace is not None
        np.testing.assert_array_equal(
            piece.tensor.trace.float64(), values.reshape(-1)[positions[own[along]]]
        )
    assert sum(piece.tensor.trace.data.size for piece in pieces.values()) == SAMPLE_SIZE  # type: ignore[union-attr]


def test_without_full_values_there_are_no_pieces() -> None:
    assert (
        list(pieces_of("w", large(exact(weights("gaussian", 288 * 96).reshape(288, 96))), THIRDS))
        == []
    )


def test_a_small_fused_tensor_is_taken_apart_by_its_values() -> None:
    values = exact(weights("gaussian", 288 * 8).reshape(288, 8))
    pieces = list(pieces_of("w", small(values), THIRDS))
    assert [piece.tensor.shape for piece in pieces] == [(96, 8)] * 3
    assert all(piece.tensor.values is not None for piece in pieces)


class Ticking:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def matrices(*names: str) -> dict[str, TensorInput]:
    return {
        name: small(exact(weights("gaussian", 40 * 50, seed=seed).reshape(40, 50)))
        for seed, name in enumerate(names)
    }


def test_spectra_come_in_the_order_of_the_plan_until_the_time_is_up() -> None:
    plan = SpectraPlan(first=("c", "a"), budget_seconds=2.5, monotonic=Ticking())
    measured = measure_tensors(matrices("a", "b", "c", "d"), plan=plan)
    assert list(measured.spectra) == ["c", "a", "b"]
    assert measured.skipped == 1
    assert measured.tensors.names == ["a", "b", "c", "d"], "the table keeps the model's order"
    assert measured.tensors.reasons[3]["stable_rank"] == OUT_OF_TIME.reason


def test_one_spectrum_is_measured_whatever_the_time() -> None:
    plan = SpectraPlan(budget_seconds=0.0, monotonic=Ticking())
    measured = measure_tensors({"bias": small(exact([1.0, 2.0])), **matrices("a", "b")}, plan=plan)
    assert list(measured.spectra) == ["a"]
    assert measured.skipped == 1, "what is no matrix is not skipped"


def test_the_batch_gives_what_each_tensor_gives_alone() -> None:
    tensors = {
        "small": small(exact(weights("laplace", 300).reshape(10, 30))),
        "large": large(exact(weights("student3", 20_000).reshape(100, 200))),
        "empty": small(exact(np.zeros((0, 3)))),
        "constant": small(exact(np.ones(9))),
        "nothing": TensorInput(shape=(3, 3), dtype="float32"),
    }
    together = measure_tensors(tensors).tensors
    for place, (name, tensor) in enumerate(tensors.items()):
        alone = measure_tensors({name: tensor}).tensors
        np.testing.assert_array_equal(alone.values[0], together.values[place])
        assert alone.reasons[0] == together.reasons[place]


def test_a_statistic_that_is_not_a_number_has_a_reason() -> None:
    table = measure_tensors(matrices("a")).tensors
    for name, value in zip(table.reasons[0], table.reasons[0].values(), strict=True):
        assert isinstance(NoValue(value).reason, str), name
    assert np.isnan(table.values[0]).sum() == len(table.reasons[0])


@pytest.mark.parametrize("every", [1, 2, 3, 10, 64])
def test_vectors_are_due_at_the_first_snapshot_and_once_in_every_window(every: int) -> None:
    due = [sequence for sequence in range(50 * every) if vectors_due(sequence, every)]
    assert due[0] == 0
    assert [sequence // every for sequence in due] == list(range(50))


@pytest.mark.parametrize("turns", range(2, 31))
def test_a_matrix_that_travels_in_turns_meets_them_sooner_or_later(turns: int) -> None:
    due = {sequence % turns for sequence in range(5_000) if vectors_due(sequence, 10)}
    assert due == set(range(turns))


def test_weights_near_the_end_of_float64_have_no_spectrum_and_fail_nothing() -> None:
    huge = small(exact(1e307 * weights("gaussian", 64 * 96).reshape(64, 96) / 0.02, "float64"))
    measured = measure_tensors({"huge": huge, **matrices("a")})
    assert list(measured.spectra) == ["a"]
    assert "stable_rank" in measured.tensors.reasons[0]


def test_pieces_whose_roles_end_alike_keep_their_whole_role() -> None:
    packing = Packing(axis=0, groups=1, pieces=(("attention.key", 96), ("cross.key", 192)))
    fused = small(exact(weights("gaussian", 288 * 8).reshape(288, 8)))
    names = [piece.name for piece in pieces_of("w", fused, packing)]
    assert names == ["w[attention.key]", "w[cross.key]"]


def test_a_subspace_of_fewer_vectors_is_compared_as_far_as_it_goes() -> None:
    dead = weights("gaussian", 96 * 288).reshape(96, 288)
    dead[0] = 0.0
    first = measure_spectrum(dead, with_vectors=True)
    assert not isinstance(first, NoValue)
    assert first.top_vectors is not None
    alive = dead.copy()
    alive[0] = 1e-6 * weights("gaussian", 288, seed=1)
    now = measure_spectrum(alive, with_vectors=True, first_vectors=first.top_vectors)
    assert not isinstance(now, NoValue)
    assert number(now.statistics["subspace_overlap_to_first"]) > 0.99
