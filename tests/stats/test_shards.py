"""Shards of a tensor put together, whoever cut them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bifurk.exact import Exact
from bifurk.sketch import sample_positions, sketch
from bifurk.wire import Placement, TensorPart
from bifurk_service.stats.shards import DIFFERENT, OVERLAPPING, assembled, full_values, trace

SHAPE = (150, 128)
VALUES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def rows(first: int, end: int) -> TensorPart:
    """A shard as a client would send it that keeps every block of up to 16,384 values exact."""
    return TensorPart(
        name="w",
        shape=SHAPE,
        dtype="float32",
        values=Exact(dtype="float32", data=VALUES[first:end].ravel()),
        placement=Placement(offset=(first, 0), local_shape=(end - first, 128)),
    )


def test_exact_blocks_of_a_large_tensor_make_up_its_counts_and_sample() -> None:
    came = assembled([rows(0, 100), rows(100, 150)])
    assert isinstance(came, TensorPart)
    assert (came.values, came.placement) == (None, None)
    assert came.counts is not None
    assert came.sample is not None
    expected = sketch(VALUES)
    np.testing.assert_array_equal(came.counts.keys, expected.keys)
    np.testing.assert_array_equal(came.counts.counts, expected.counts)
    np.testing.assert_array_equal(came.sample.data, VALUES.ravel()[sample_positions(VALUES.size)])


def elements(first: int, end: int) -> TensorPart:
    """A range of the elements in a row, as flattened parameters are cut."""
    return replace(
        rows(0, 1),
        values=Exact(dtype="float32", data=VALUES.ravel()[first:end]),
        placement=Placement(offset=(first,), local_shape=(end - first,)),
    )


def test_ranges_of_elements_make_up_the_same_as_blocks() -> None:
    cut = [elements(7_001, 14_003), elements(14_003, 19_200), elements(0, 7_001)]
    ours, theirs = assembled(cut), assembled([rows(0, 100), rows(100, 150)])
    assert isinstance(ours, TensorPart)
    assert isinstance(theirs, TensorPart)
    assert ours.sample is not None
    assert theirs.sample is not None
    assert ours.counts is not None
    assert theirs.counts is not None
    np.testing.assert_array_equal(ours.counts.counts, theirs.counts.counts)
    np.testing.assert_array_equal(ours.sample.data, theirs.sample.data)
    in_full = [replace(one, full=one.values) for one in cut]
    whole = full_values(in_full)
    assert whole is not None
    np.testing.assert_array_equal(whole.data, VALUES)


def test_ranges_that_overlap_or_stand_beside_blocks_are_no_tensor() -> None:
    assert assembled([elements(0, 10_000), elements(9_999, 19_199)]) == OVERLAPPING
    assert assembled([elements(0, 12_800), rows(100, 150)]) == DIFFERENT


def test_order_is_no_matter() -> None:
    one, two = assembled([rows(0, 70), rows(70, 150)]), assembled([rows(70, 150), rows(0, 70)])
    assert isinstance(one, TensorPart)
    assert isinstance(two, TensorPart)
    assert one.sample is not None
    assert two.sample is not None
    np.testing.assert_array_equal(one.sample.data, two.sample.data)


def test_a_trace_needs_every_shard() -> None:
    whole = trace([rows(0, 100), rows(100, 150)])
    assert whole is not None
    assert trace([rows(0, 100)]) is None


def test_full_values_need_every_shard_to_carry_them() -> None:
    first, second = rows(0, 100), rows(100, 150)
    in_full = [
        replace(one, full=Exact(dtype="float32", data=block))
        for one, block in ((first, VALUES[:100]), (second, VALUES[100:]))
    ]
    whole = full_values(in_full)
    assert whole is not None
    np.testing.assert_array_equal(whole.data, VALUES)
    counted = replace(second, values=None, counts=sketch(VALUES[100:]))
    assert full_values([in_full[0], counted]) is None
    assert full_values([first, second]) is None, "nobody sent them"


@pytest.mark.parametrize("changes", [{"shape": (151, 128)}, {"dtype": "float64"}])
def test_shards_that_contradict_each_other_are_no_tensor(changes: dict[str, object]) -> None:
    other = replace(rows(100, 150), **changes)  # type: ignore[arg-type]
    assert assembled([rows(0, 100), other]) == DIFFERENT
