"""Runs in a queue take turns, and a round costs what is new in it, not what waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from bifurk.testing import ManualClock
from bifurk_service.pipeline.turns import Turns
from bifurk_service.store.models import Attempt, Run, Snapshot
from tests.parts import make_part
from tests.pipeline.house import House

EVERY = 1.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turns(clock: ManualClock) -> Turns:
    """Turns of 1, 2 and 3, which have all been looked at just now."""
    turns = Turns(every_seconds=EVERY, monotonic=clock.now)
    assert looked_at(turns, [1, 2, 3]) == [1, 2, 3]
    return turns


def looked_at(turns: Turns, waiting: Collection[int], *, room: bool = False) -> list[int]:
    return list(turns.of_round(waiting, room=lambda: room))


def test_while_all_are_busy_only_news_is_looked_at(turns: Turns) -> None:
    assert looked_at(turns, [1, 2, 3]) == []
    turns.note_news([2])
    assert looked_at(turns, [1, 2, 3]) == [2]
    assert looked_at(turns, [1, 2, 3]) == []


def test_what_begins_to_wait_is_news_and_what_waits_no_more_is_none(turns: Turns) -> None:
    assert looked_at(turns, [1, 4]) == [4]
    turns.note_news([1, 2])
    assert looked_at(turns, [1, 4]) == [1]
    assert looked_at(turns, [1, 2, 4]) == [2]


def test_a_free_worker_goes_to_whom_none_has_gone_for_longest(turns: Turns) -> None:
    for served in (1, 3):
        turns.note_served(served)
    assert looked_at(turns, [1, 2, 3], room=True) == [2, 1, 3]


def test_as_soon_as_no_worker_is_free_the_others_wait(turns: Turns) -> None:
    free = iter([True, False, False])
    assert list(turns.of_round([1, 2, 3], room=lambda: next(free))) == [1]


def test_now_and_then_all_are_looked_at(turns: Turns, clock: ManualClock) -> None:
    clock.advance(0.9 * EVERY)
    assert looked_at(turns, [1, 2, 3]) == []
    clock.advance(0.2 * EVERY)
    assert looked_at(turns, [1, 2, 3]) == [1, 2, 3]


def test_the_more_seldom_the_longer_that_takes(clock: ManualClock) -> None:
    turns = Turns(every_seconds=EVERY, monotonic=clock.now)
    for _ in turns.of_round([1, 2], room=lambda: False):
        clock.advance(3 * EVERY)
    clock.advance(50 * EVERY)
    assert looked_at(turns, [1, 2]) == []
    clock.advance(20 * EVERY)
    assert looked_at(turns, [1, 2]) == [1, 2]


def test_what_was_not_advanced_is_still_news(turns: Turns) -> None:
    turns.note_news([2])
    for _ in turns.of_round([1, 2, 3], room=lambda: False):
        break  # as where the database is gone in its turn
    assert looked_at(turns, [1, 2, 3]) == [2]


def test_a_long_queue_of_one_run_does_not_hold_up_another(tmp_path: Path) -> None:
    house = House(tmp_path)
    for sequence in range(12):
        house.receive(make_part(sequence, run="long"))
    for sequence in range(3):
        house.receive(make_part(sequence, run="short"))
    house.run_until("judged")
    with house.database.read() as session:
        rows = session.execute(
            select(Run.slug)
            .join(Attempt, Attempt.run_id == Run.id)
            .join(Snapshot, Snapshot.attempt_id == Attempt.id)
            .order_by(Snapshot.judged_at)
        )
        judged = list(rows.scalars())
    last_of_short = max(place for place, run in enumerate(judged) if run == "short")
    assert last_of_short < 9, judged


class Asleep(Executor):
    """Takes jobs and never does one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def statements_of_a_round(folder: Path, *, runs: int) -> int:
    """Of the database, while all workers are busy and nothing is new."""
    folder.mkdir()
    house = House(folder)
    house.executor = lambda _count: Asleep()
    house.pipeline = house.new_pipeline()
    for number in range(runs):
        house.receive(make_part(0, run=f"run-{number}"))
    house.pipeline.advance()
    asked: list[str] = []

    def count(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", count)
    try:
        house.pipeline.advance()
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    return len(asked)


def test_a_round_without_news_asks_the_same_however_many_wait(tmp_path: Path) -> None:
    few, many = (statements_of_a_round(tmp_path / str(runs), runs=runs) for runs in (3, 12))
    assert few == many
