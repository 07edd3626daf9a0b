"""What began first, as far as intervals can tell."""

from __future__ import annotations

from bifurk_service.detect.onset import (
    commonest_interval,
    first_of,
    first_place,
    interval_of,
    overlap,
)
from bifurk_service.domain import AffectedTensor, TensorInfo


def affected(layer: int | None, first: int, last: int, name: str = "w") -> AffectedTensor:
    return AffectedTensor(
        tensor=TensorInfo(id=1, name=name, layer=layer, role="other", shape=(8, 8)),
        statistics=("std",),
        onset_first_step=first,
        onset_last_step=last,
        before=1.0,
        after=2.0,
        score=1.0,
    )


def test_the_first_ends_before_every_other_begins() -> None:
    assert first_of({"a": (10, 20), "b": (20, 40), "c": (30, 35)}) == "a"


def test_intervals_that_overlap_resolve_nothing() -> None:
    assert first_of({"a": (10, 21), "b": (20, 40)}) == ""
    assert first_of({"a": (10, 20), "b": (10, 20)}) == ""
    assert first_of({"a": (10, 12), "b": (11, 11), "c": (20, 30)}) == ""


def test_the_same_moment_twice_resolves_nothing() -> None:
    assert first_of({"a": (20, 20), "b": (20, 20)}) == ""


def test_one_alone_is_not_first() -> None:
    assert first_of({"a": (10, 20)}) == ""


def test_a_tensor_begins_with_its_first_statistic_where_that_is_resolved() -> None:
    intervals = {"std": (30, 40), "update_ratio": (10, 20)}
    assert interval_of(intervals, "std") == (10, 20)
    assert interval_of({**intervals, "update_ratio": (10, 35)}, "std") == (30, 40)
    assert interval_of({"update_ratio": (10, 20)}, "std") == (10, 20)


def test_a_layer_begins_with_its_median_tensor() -> None:
    second = [affected(2, 20, 22), affected(2, 20, 22), affected(2, 2, 4)]
    assert first_place([*second, affected(1, 10, 12)]) == "layer 1"
    assert first_place([*second, affected(1, 21, 23)]) == ""


def test_tensors_without_layers_are_places_of_their_own() -> None:
    assert first_place([affected(None, 10, 12, "a"), affected(None, 20, 22, "b")]) == "a"
    assert first_place([affected(None, 10, 12, "a")]) is None


def test_most_begin_in_the_commonest_interval_the_earliest_of_equals() -> None:
    assert commonest_interval([(4, 6), (2, 4), (4, 6)]) == (4, 6)
    assert commonest_interval([(4, 6), (2, 4)]) == (2, 4)


def test_neighbouring_intervals_do_not_overlap() -> None:
    assert overlap((2, 4), (3, 9))
    assert overlap((4, 4), (4, 4))
    assert not overlap((2, 4), (4, 6))
