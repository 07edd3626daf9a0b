"""One event, one alert; two events, two."""

from __future__ import annotations

import json

import pytest

from bifurk_service.detect.finding import Finding
from bifurk_service.detect.merge import Merger
from bifurk_service.domain import Severity, TensorInfo
from tests.detect.findings import finding, told

MATRICES = 4
"""A layer's first tensors in ``gpt``; layer l begins at 2 + 9 l."""


def layer(
    index: int, *, kind: str = "regime_shift", seen: int, began: int | None = None
) -> list[Finding]:
    """The spread of a layer's matrices."""
    first = 2 + 9 * index
    return [
        finding(kind, place, seen=seen, began=began) for place in range(first, first + MATRICES)
    ]


def named(tensors: list[TensorInfo], *findings: Finding) -> list[set[int | None]]:
    """Layers that each event names."""
    events, _ = told(findings, tensors)
    return [{tensors[place].layer for place in event.named} for event in events]


def test_a_second_layer_that_began_at_the_same_time_is_the_same_event(
    tensors: list[TensorInfo],
) -> None:
    assert named(tensors, *layer(1, seen=92), *layer(2, seen=94, began=90)) == [{1, 2}]


def test_a_second_layer_that_began_later_and_for_itself_is_another_event(
    tensors: list[TensorInfo],
) -> None:
    assert named(tensors, *layer(1, seen=92), *layer(2, seen=100)) == [{1}, {2}]


def test_a_second_layer_that_began_a_little_later_is_the_wake_of_the_first(
    tensors: list[TensorInfo],
) -> None:
    (event,), _ = told([*layer(1, seen=92), *layer(2, seen=99, began=95)], tensors)
    assert {tensors[place].layer for place in event.named} == {1}
    assert len(event.followers) == MATRICES


def test_what_followed_the_first_event_and_bears_out_a_second_is_the_seconds(
    tensors: list[TensorInfo],
) -> None:
    early, *rest = layer(2, seen=100)
    early = finding("regime_shift", early.tensor, seen=99, began=98)
    events, reports = told([*layer(1, seen=92), early, *rest], tensors)
    assert [len(event.findings) for event in events] == [MATRICES, MATRICES]
    assert [len(event.followers) for event in events] == [0, 0]
    assert reports[-1] == (100, events[1].fingerprint)


def test_what_shifts_everywhere_later_is_the_wake_and_makes_it_critical(
    tensors: list[TensorInfo],
) -> None:
    everywhere = [finding("regime_shift", place, seen=105) for place in range(20, len(tensors))]
    (event,), _ = told([*layer(1, seen=92), *everywhere], tensors)
    assert event.severity(tensors) is Severity.CRITICAL


def test_single_findings_later_on_follow_the_newest_event(tensors: list[TensorInfo]) -> None:
    stray = finding("regime_shift", 30, seen=103)
    events, _ = told([*layer(1, seen=92), *layer(2, seen=100), stray], tensors)
    assert [len(event.followers) for event in events] == [0, 1]


def test_layers_depart_in_agreement_only(tensors: list[TensorInfo]) -> None:
    alone = layer(1, kind="layer_departure", seen=92)
    assert named(tensors, *alone[:2]) == []
    assert named(tensors, *alone[:3]) == [{1}]
    aspects = [
        finding("layer_departure", 2, statistic, seen=92)
        for statistic in ("spectral_norm", "update_ratio", "stable_rank")
    ]
    assert named(tensors, *aspects[:2]) == []
    assert named(tensors, *aspects) == [{0}]


def test_a_departure_in_the_whole_model_is_no_departure_of_the_population(
    tensors: list[TensorInfo],
) -> None:
    everywhere = [finding("layer_departure", place, seen=92) for place in range(2, len(tensors), 9)]
    assert named(tensors, *everywhere) == []


@pytest.mark.parametrize(
    ("kind", "seen", "is_told"),
    [
        ("variance_burst", (90, 92, 95), True),
        ("variance_burst", (90, 92, 96), False),
        ("one_bad_snapshot", (90, 90, 90), True),
        ("one_bad_snapshot", (90, 90, 91), False),
        ("mode_split", (90,), True),
    ],
)
def test_kinds_that_need_company_speak_when_three_tensors_do(
    kind: str, seen: tuple[int, ...], is_told: bool, tensors: list[TensorInfo]
) -> None:
    events, _ = told([finding(kind, i, seen=one) for i, one in enumerate(seen)], tensors)
    assert bool(events) is is_told
    assert all(len(event.named) == len(seen) for event in events)


def test_two_statistics_of_three_tensors_are_three_witnesses_and_one_event(
    tensors: list[TensorInfo],
) -> None:
    pairs = [(i, name) for i in range(3) for name in ("std", "update_ratio")]
    burst = [finding("variance_burst", i, name, seen=90) for i, name in pairs]
    (event,), _ = told(burst, tensors)
    assert len(event.findings) == 6
    events, _ = told(burst[:4], tensors)
    assert events == []


def test_later_tensors_of_a_kind_join_within_a_few_snapshots(tensors: list[TensorInfo]) -> None:
    seen = (50, 55, 60, 70)
    findings = [finding("spectral_outlier", i, seen=one) for i, one in enumerate(seen)]
    events, _ = told(findings, tensors)
    assert [len(event.named) for event in events] == [3, 1]


def test_a_memory_taken_up_again_tells_the_same(tensors: list[TensorInfo]) -> None:
    findings = [*layer(1, seen=92), finding("variance_burst", 3, seen=96), *layer(2, seen=100)]
    merger, copy = Merger("run"), Merger("run")
    for sequence in range(110):
        fresh = [one for one in findings if one.sequence == sequence]
        copy.restore(json.loads(json.dumps(merger.as_json())))
        expected = merger.update(sequence, fresh, tensors)
        assert [event.as_json() for event in copy.update(sequence, fresh, tensors)] == [
            event.as_json() for event in expected
        ]
