"""What is told of a baseline does not depend on what happened while, or before, it was held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bifurk_service.pipeline import baselines
from bifurk_service.pipeline.baseline_news import AGAIN_SECONDS, Looked, is_due
from bifurk_service.pipeline.baselines import OLD_SECONDS, BaselineKeeper
from bifurk_service.store.baselines import judged_runs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Run, Snapshot
from bifurk_service.store.removal import hide_run
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.pipeline.baselined import (
    GOOD,
    GROUPS,
    LEAVES,
    NOW,
    PROJECT,
    STEP,
    Keep,
    Runs,
    baseline,
    leave,
)

BESIDE = tuple(f"beside-{number}" for number in range(1, 6))
WHOLE = 400
LATELY = 380
"""Step from which on what is judged of a good run cannot tell anything."""


class Budget:
    """A clock that lets the keeper do one thing a round, or everything."""

    def __init__(self) -> None:
        self.is_spent = True
        self._seconds = 0.0

    def now(self) -> float:
        self._seconds += self.is_spent
        return self._seconds


@pytest.fixture
def budget() -> Budget:
    return Budget()


@pytest.fixture
def begun(runs: Runs, keep: Keep, budget: Budget) -> Callable[..., BaselineKeeper]:
    """A keeper that has begun to hold a run that left, and has read some of it, or all and more."""

    def begun(*, groups: int = 1, **given: Any) -> BaselineKeeper:
        leave(runs, until=WHOLE)
        keeper = keep(baseline(run="bad", **given), budget_seconds=0.5, monotonic=budget.now)
        for _ in range(groups):
            keeper.run(NOW)
        budget.is_spent = False
        return keeper

    return begun


def test_what_comes_late_of_the_good_runs_is_a_reason_to_hold_a_run_again(
    runs: Runs, keep: Keep
) -> None:
    held = baseline(run="bad", good=BESIDE)
    keeper = keep(held)
    for name in BESIDE:
        runs.judge(name, range(LATELY, 420, STEP), first=LATELY // STEP)
    leave(runs, until=WHOLE)
    runs.state("bad", "finished")
    keeper.run(NOW)
    assert runs.alerts() == []
    for name in BESIDE:
        runs.judge(name, range(0, LATELY, STEP), first=0)
    keeper.run(NOW)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


def test_what_is_judged_of_an_earlier_attempt_of_the_good_runs_is_one_too(
    runs: Runs, keep: Keep
) -> None:
    keeper = keep(baseline(run="bad", good=BESIDE))
    for name in BESIDE:
        begin(runs.database, name)
        runs.judge(name, range(LATELY, 420, STEP), attempt="second")
    leave(runs, until=WHOLE)
    keeper.run(NOW)
    assert runs.alerts() == []
    for name in BESIDE:
        runs.judge(name, range(0, LATELY, STEP), attempt="first")
    keeper.run(NOW)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


def test_a_good_run_whose_values_end_before_the_run_is_looked_at_again(runs: Runs) -> None:
    with runs.database.read() as session:
        run, good, *_ = judged_runs(session, PROJECT)
    last = Looked(run=run, good={good.run_id: good}, firm={good.run_id: run.until - STEP})
    further = replace(good, cursor=good.cursor + 5, until=good.until + 5 * STEP)
    assert is_due(last, run, [further], now=NOW)
    assert not is_due(replace(last, firm={}), run, [further], now=NOW)


def test_nothing_waits_for_the_hour_that_a_clock_was_set_back_by(runs: Runs) -> None:
    with runs.database.read() as session:
        run, good, *_ = judged_runs(session, PROJECT)
    last = Looked(run=run, good={good.run_id: good}, firm={})
    further = replace(run, cursor=run.cursor + 1)
    assert not is_due(last, further, [good], now=run.judged_at)
    assert is_due(last, further, [good], now=run.judged_at - 3_600.0)
    failed = replace(last, failed_at=NOW)
    assert not is_due(failed, run, [good], now=NOW)
    assert is_due(failed, run, [good], now=NOW - 3_600.0)


@pytest.mark.parametrize(
    ("name", "step", "groups"), [("bad", WHOLE - STEP, 1), (GOOD[0], 590, len(GROUPS) + 1)]
)
def test_a_run_begun_again_while_it_is_read_is_held_all_the_same(
    runs: Runs, begun: Callable[..., BaselineKeeper], name: str, step: int, groups: int
) -> None:
    """Of the attempt that began nothing is ever judged."""
    keeper = begun(groups=groups, least_good=len(GOOD))
    fail_again(runs.database, name, step)
    for _ in range(2):
        keeper.run(NOW)
    assert [one.onset_last_step for one in runs.alerts()] == [LEAVES]


def test_what_a_round_has_left_is_gone_on_with_a_little_at_a_time(
    runs: Runs, begun: Callable[..., BaselineKeeper]
) -> None:
    keeper = begun()
    times = 0
    while keeper.go_on(NOW):
        times += 1
        assert times < 100
    assert times > len(GROUPS) * len(GOOD)
    assert len(runs.alerts()) == 1
    assert not keeper.go_on(NOW)


def test_nobody_is_told_of_a_run_that_was_deleted_while_it_was_held(
    runs: Runs, begun: Callable[..., BaselineKeeper]
) -> None:
    keeper = begun()
    with runs.database.write() as session:
        hide_run(session, session.scalars(select(Run.id).where(Run.slug == "bad")).one())
    for _ in range(2):
        keeper.run(NOW)
    assert (runs.alerts(), runs.told()) == ([], [])


def test_an_alert_is_of_the_time_at_which_it_is_raised(
    runs: Runs, begun: Callable[..., BaselineKeeper]
) -> None:
    begun().run(NOW + OLD_SECONDS)
    assert [one.created_at for one in runs.alerts()] == [NOW + OLD_SECONDS]


def test_what_was_read_long_ago_is_read_again(
    runs: Runs, begun: Callable[..., BaselineKeeper]
) -> None:
    keeper = begun()
    runs.judge("bad", range(WHOLE, WHOLE + 10 * STEP, STEP))
    keeper.run(NOW + OLD_SECONDS + 1)
    assert [one.state for one in runs.alerts()] == ["resolved"]


def test_who_leads_no_more_tells_nothing_and_holds_it_again_when_it_does(
    runs: Runs, keep: Keep
) -> None:
    leading: list[bool] = []
    keeper = keep(baseline(run="bad"), may_tell=lambda: bool(leading))
    leave(runs, until=WHOLE)
    keeper.run(NOW)
    assert runs.alerts() == []
    leading.append(True)
    keeper.run(NOW)
    assert len(runs.alerts()) == 1


def test_a_run_that_could_not_be_held_is_held_again_after_a_while(
    runs: Runs, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = keep(baseline(run="bad"))
    leave(runs, until=WHOLE)
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR, logger="bifurk.service"):
        broken.setattr(baselines, "wanted_works", no_memory)
        keeper.run(NOW)
        keeper.run(NOW + AGAIN_SECONDS - 1)
    assert caplog.messages == ["run bad cannot be held against baseline steady"]
    keeper.run(NOW + AGAIN_SECONDS)
    assert len(runs.alerts()) == 1


def no_memory(*_: object) -> Sequence[Any]:
    raise MemoryError


def begin(database: Database, name: str) -> None:
    """A run with an attempt of which nothing has come yet."""
    with database.write() as session:
        attempt_of(
            session, ensure_run(session, project=PROJECT, run=name, now=NOW), "first", now=NOW
        )


def fail_again(database: Database, name: str, step: int) -> None:
    """Another attempt of a run, from a step on, of which the one snapshot could not be measured."""
    with database.write() as session:
        run = session.scalars(select(Run).where(Run.slug == name)).one()
        attempt = attempt_of(session, run, "second", now=NOW)
        session.add(
            Snapshot(
                attempt_id=attempt.id, sequence=0, step=step, off_grid=False, state="failed",
                tries=0, expected_parts=1, received_parts=1, coverage=1.0, wall_clock=0.0,
                received_at=NOW, learning_rates=[],
            )
        )  # fmt: skip
