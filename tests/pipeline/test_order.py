"""Judging goes strictly by sequence and waits only for what may still come."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk_service.pipeline.order import in_order


@dataclass(frozen=True)
class Waiting:
    sequence: int
    received_parts: int = 1
    expected_parts: int = 1


def ready(cursor, sequences, *, absent=(), overdue=()):  # type: ignore[no-untyped-def]
    waiting = [Waiting(sequence) for sequence in sequences]
    return [s.sequence for s in in_order(cursor, waiting, absent=absent, overdue=set(overdue))]


def test_what_follows_the_cursor_without_a_gap_is_ready() -> None:
    assert ready(-1, [0, 1, 2]) == [0, 1, 2]


def test_a_gap_holds_back_what_is_behind_it() -> None:
    assert ready(3, [4, 6, 7]) == [4]
    assert ready(-1, [1, 2]) == []


def test_a_gap_that_will_never_be_filled_holds_nothing_back() -> None:
    assert ready(3, [4, 6, 9], absent=[(5, 5), (7, 8)]) == [4, 6, 9]
    assert ready(3, [7], absent=[(5, 6), (4, 4)]) == [7]
    assert ready(3, [7], absent=[(5, 6)]) == []


def test_a_gap_waited_for_long_enough_is_passed() -> None:
    assert ready(3, [6, 7, 9], overdue=[6]) == [6, 7]


def test_what_came_behind_the_cursor_is_not_judged() -> None:
    assert ready(5, [2, 3, 6]) == [6]


def test_an_incomplete_snapshot_is_waited_for_until_it_is_overdue() -> None:
    waiting = [Waiting(0, received_parts=1, expected_parts=2), Waiting(1)]
    assert in_order(-1, waiting, absent=(), overdue=set()) == []
    assert in_order(-1, waiting, absent=(), overdue={0}) == waiting


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.integers(-1, 40))
def test_nothing_missing_ever_precedes_what_is_ready(
    arrived: set[int], lost: set[int], cursor: int
) -> None:
    lost -= arrived
    result = ready(cursor, sorted(arrived), absent=[(s, s) for s in lost])
    passed = set(range(cursor + 1)) | set(result) | lost
    for sequence in result:
        assert sequence > cursor
        assert set(range(sequence)) <= passed


@pytest.mark.parametrize("ranges", [[(0, 4)], [(0, 1), (1, 4)], [(2, 4), (0, 2)], [(0, 9)]])
def test_ranges_may_overlap_and_come_in_any_order(ranges: list[tuple[int, int]]) -> None:
    assert ready(-1, [5], absent=ranges) == [5]
