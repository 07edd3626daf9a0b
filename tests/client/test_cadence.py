"""Which steps are snapshots, what the budget changes, whose turn it is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk.cadence import Cadence, FullRotation, Relief


def grid(cadence: Cadence, last: int, first: int = 0) -> list[int]:
    return [step for step in range(first, last + 1) if cadence.due(step)]


def test_the_grid_doubles_at_first_and_then_is_even() -> None:
    assert grid(Cadence(every=10), 30) == [0, 1, 2, 4, 8, 10, 20, 30]


def test_without_the_dense_start_the_grid_is_even() -> None:
    assert grid(Cadence(every=10, log_start=False), 30) == [0, 10, 20, 30]


def test_a_resumed_run_falls_on_the_same_grid() -> None:
    assert grid(Cadence(every=10), 45, first=23) == [30, 40]


def test_every_step_may_be_a_snapshot() -> None:
    assert grid(Cadence(every=1), 4) == [0, 1, 2, 3, 4]


def run(cadence: Cadence, *, steps: int, cost: float) -> list[tuple[int, Relief]]:
    """One second a step, ``cost`` seconds a snapshot; what was given up, and when."""
    reliefs, spent = [], 0.0
    for step in range(steps + 1):
        if cadence.due(step):
            relief = cadence.judge(step, elapsed_seconds=float(step), cost_seconds=spent)
            if relief is not None:
                reliefs.append((step, relief))
            spent += cost
    return reliefs


def test_within_the_budget_nothing_changes() -> None:
    assert run(Cadence(every=10, budget=0.01), steps=1000, cost=0.09) == []


def test_over_the_budget_the_interval_doubles_until_it_fits() -> None:
    cadence = Cadence(every=10, budget=0.01)
    reliefs = run(cadence, steps=5000, cost=0.35)
    assert [relief for _, relief in reliefs] == [
        Relief(kind="interval", before=10, after=20),
        Relief(kind="interval", before=20, after=40),
    ]
    assert all(step % int(relief.after) == 0 for step, relief in reliefs)
    assert cadence.interval == 40


def test_the_dense_start_is_not_held_against_the_budget() -> None:
    assert run(Cadence(every=1024, budget=0.01), steps=20_000, cost=5.0) == []


def test_without_a_budget_any_cost_is_fine() -> None:
    assert run(Cadence(every=1, budget=None), steps=100, cost=10.0) == []


def test_one_expensive_snapshot_is_no_trend() -> None:
    cadence = Cadence(every=10, budget=0.01)
    costs = itertools.chain([0.25], itertools.repeat(0.0))
    spent = 0.0
    for step in range(0, 500, 10):
        assert cadence.judge(step, elapsed_seconds=float(step), cost_seconds=spent) is None
        spent += next(costs) if step == 50 else 0.0
    assert cadence.interval == 10


def test_several_ranks_give_up_payload_once_and_never_steps() -> None:
    cadence = Cadence(every=10, budget=0.01, ranks=8)
    reliefs = run(cadence, steps=1000, cost=5.0)
    assert [relief for _, relief in reliefs] == [
        Relief(kind="payload", before="full", after="sketch")
    ]
    assert not cadence.full_allowed
    assert cadence.interval == 10


def test_when_all_fits_all_travels_every_time() -> None:
    rotation = FullRotation([3, 4, 5], full_bytes=12)
    assert [rotation.take() for _ in range(3)] == [(0, 1, 2)] * 3
    assert rotation.largest_turn_bytes == 12


def test_what_is_too_large_alone_never_travels() -> None:
    rotation = FullRotation([100, 4, 5], full_bytes=10)
    assert rotation.take() == (1, 2)


@pytest.mark.parametrize("sizes", [[], [7, 8]])
def test_without_room_nothing_travels(sizes: list[int]) -> None:
    rotation = FullRotation(sizes, full_bytes=0)
    assert rotation.take() == ()
    assert rotation.largest_turn_bytes == 0


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    full_bytes=st.one_of(st.none(), st.integers(0, 200)),
)
def test_turns_stay_within_their_bytes_and_reach_everyone(
    sizes: list[int], full_bytes: int | None
) -> None:
    rotation = FullRotation(sizes, full_bytes=full_bytes)
    limit = sum(sizes) if full_bytes is None else full_bytes
    turns = [rotation.take() for _ in range(2 * len(sizes))]
    for turn in turns:
        assert len(set(turn)) == len(turn)
        assert sum(sizes[index] for index in turn) <= rotation.largest_turn_bytes <= limit
    reached = set(itertools.chain.from_iterable(turns))
    assert reached == {index for index, size in enumerate(sizes) if size <= limit}
