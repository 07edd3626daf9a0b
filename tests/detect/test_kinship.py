"""What several kinds see of one thing has one head."""

from __future__ import annotations

from bifurk_service.detect.event import Event
from bifurk_service.detect.finding import Finding
from bifurk_service.domain import TensorInfo
from tests.detect.findings import finding, told

SHIFT = [finding("regime_shift", place, seen=92) for place in range(11, 15)]
"""A warning about the matrices of layer 1."""


def parents(tensors: list[TensorInfo], *findings: Finding) -> dict[str, str]:
    """By kind of an event the kind of its parent, or ""."""
    events, _ = told(findings, tensors)
    kinds = {event.fingerprint: event.kind for event in events}
    return {event.kind: kinds.get(event.parent, "") for event in events}


def test_what_comes_later_in_the_same_tensors_is_a_child(tensors: list[TensorInfo]) -> None:
    shape = finding("shape_change", 12, "shape_class", seen=100)
    assert parents(tensors, *SHIFT, shape) == {"regime_shift": "", "shape_change": "regime_shift"}


def test_in_other_tensors_it_is_not(tensors: list[TensorInfo]) -> None:
    shape = finding("shape_change", 30, "shape_class", seen=100)
    assert parents(tensors, *SHIFT, shape) == {"regime_shift": "", "shape_change": ""}


def test_long_after_it_is_not_unless_it_began_at_the_same_time(tensors: list[TensorInfo]) -> None:
    later = finding("shape_change", 12, "shape_class", seen=120)
    slow = finding("branch_split", 12, seen=120, began=90)
    assert parents(tensors, *SHIFT, later)["shape_change"] == ""
    assert parents(tensors, *SHIFT, slow)["branch_split"] == "regime_shift"


def test_what_came_first_gets_its_parent_later_and_is_told_again(
    tensors: list[TensorInfo],
) -> None:
    early = finding("turning_point", 12, "stable_rank", seen=86, direction="fall")
    (turn, shift), reports = told([early, *SHIFT], tensors)
    assert turn.parent == shift.fingerprint
    assert reports == [(86, turn.fingerprint), (92, turn.fingerprint), (92, shift.fingerprint)]


def test_of_equals_the_earliest_is_the_parent(tensors: list[TensorInfo]) -> None:
    first = [finding("layer_departure", place, seen=88) for place in range(11, 15)]
    assert parents(tensors, *first, *SHIFT)["regime_shift"] == "layer_departure"


def test_a_child_that_becomes_graver_changes_places_with_its_parent(
    tensors: list[TensorInfo],
) -> None:
    first = [finding("layer_departure", place, seen=88) for place in range(11, 15)]
    shape = finding("shape_change", 12, "shape_class", seen=93)
    everywhere = [finding("regime_shift", place, seen=95) for place in range(len(tensors))]
    assert parents(tensors, *first, *SHIFT, shape, *everywhere) == {
        "layer_departure": "regime_shift",
        "regime_shift": "",
        "shape_change": "regime_shift",
    }


def test_the_children_of_a_child_are_its_parents(tensors: list[TensorInfo]) -> None:
    split = finding("mode_split", 12, "dip_ratio", seen=80)
    shape = finding("shape_change", 12, "shape_class", seen=84)
    found = parents(tensors, split, shape, *SHIFT)
    assert found == {
        "mode_split": "regime_shift",
        "shape_change": "regime_shift",
        "regime_shift": "",
    }


def test_two_events_that_a_third_touches_stay_two(tensors: list[TensorInfo]) -> None:
    other = [finding("regime_shift", place, seen=100) for place in range(20, 24)]
    both = [finding("branch_split", place, seen=104) for place in (11, 20, 29)]
    events, _ = told([*SHIFT, *other, *both], tensors)
    first, second, split = events
    assert (first.parent, second.parent, split.parent) == ("", "", first.fingerprint)


def test_values_that_are_not_finite_are_never_a_part_of_anything(
    tensors: list[TensorInfo],
) -> None:
    everywhere = [finding("regime_shift", place, seen=90) for place in range(len(tensors))]
    nan = finding("non_finite", 12, "nonfinite_count", seen=96)
    assert parents(tensors, *everywhere, nan) == {"regime_shift": "", "non_finite": ""}
    assert parents(tensors, *SHIFT, nan) == {"regime_shift": "non_finite", "non_finite": ""}


def test_fingerprints_do_not_change_with_the_family(tensors: list[TensorInfo]) -> None:
    alone, _ = told(SHIFT, tensors)
    shape = finding("shape_change", 12, "shape_class", seen=84)
    together, _ = told([shape, *SHIFT], tensors)
    assert _fingerprints(alone) <= _fingerprints(together)


def _fingerprints(events: list[Event]) -> set[str]:
    return {event.fingerprint for event in events}
