"""Who counts as good, what is read of whom and when, and what does not get in the way."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.detect.leaves_baseline import KIND
from bifurk_service.errors import ConflictError, StorageError
from bifurk_service.notify.followed import FollowedPolicy
from bifurk_service.pipeline import baselines, course_memory
from bifurk_service.pipeline.baselines import NEWS_SECONDS
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.replay.evidence import evidence_of
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.run_lists import list_runs
from bifurk_service.store.runs import delete_run
from tests.pipeline.baselined import (
    COURSES,
    GOOD,
    NOW,
    STEP,
    Keep,
    Runs,
    baseline,
    leave,
)
from tests.server import wait_for


def test_a_good_run_that_is_deleted_is_missed_once_and_the_others_still_tell(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    leave(runs, "first-bad")
    keeper = keep()
    delete(runs.database, GOOD[0])
    with caplog.at_level(logging.WARNING, logger="bifurk.service"):
        keeper.run(NOW)
        runs.judge("first-bad", range(400, 500, STEP), grown=2.0)
        keeper.run(NOW)
    [line] = caplog.messages
    assert "of its good runs good-1 are deleted, renamed or not yet there, 5 are left" in line
    [alert] = runs.alerts()
    assert "5 good runs" in alert.sentence


def test_too_few_good_runs_say_nothing_and_resolve_nothing(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    leave(runs)
    keeper = keep()
    keeper.run(NOW)
    delete(runs.database, *GOOD[:2])
    leave(runs, "other")
    runs.judge("bad", range(400, 500, STEP))
    with caplog.at_level(logging.WARNING, logger="bifurk.service"):
        keeper.run(NOW)
    assert [(one.run_id, one.state) for one in runs.alerts()] == [(7, "firing")]
    assert "4 are left; fewer than 5 say nothing" in caplog.text


def test_a_run_deleted_between_two_looks_is_no_error(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    leave(runs)
    ticks = itertools.count()
    keeper = keep(budget_seconds=0.5, monotonic=lambda: float(next(ticks)))
    keeper.run(NOW)
    delete(runs.database, "bad", GOOD[5])
    for _ in range(100):
        keeper.run(NOW)
    assert runs.alerts() == []
    assert "cannot be held" not in caplog.text


def test_a_good_run_does_not_count_as_good_for_itself(runs: Runs, keep: Keep) -> None:
    for name in GOOD[:5]:
        runs.judge(name, range(600, 700, STEP), grown=3.0 if name == GOOD[0] else 1.0)
    keep(baseline(good=GOOD[:5])).run(NOW)
    assert runs.alerts() == []


def test_a_good_run_that_is_unlike_the_others_is_named_and_lessens_what_is_told(
    runs: Runs, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    delete(runs.database, GOOD[0])
    leave(runs, GOOD[0])
    leave(runs)
    keeper = keep(baseline(run="bad"))
    with caplog.at_level(logging.WARNING, logger="bifurk.service"):
        keeper.run(NOW)
        runs.judge("bad", range(400, 500, STEP), grown=2.0)
        keeper.run(NOW)
    assert runs.alerts() == []
    [line] = caplog.messages
    assert line.startswith("baseline steady: its good runs good-1 leave the band of the others")


def test_a_good_run_may_be_told_of_too_against_the_others(runs: Runs, keep: Keep) -> None:
    runs.judge(GOOD[0], range(600, 700, STEP), grown=3.0)
    for name in GOOD[1:]:
        runs.judge(name, range(600, 700, STEP))
    keep().run(NOW)
    [alert] = runs.alerts()
    assert GOOD[0] not in alert.evidence["good"]
    assert alert.sentence.startswith("good-1: ")


@pytest.mark.parametrize("glob", ["[", "[!", "*" * 200, "*a" * 100, "bad%", "b_d", "BAD", "\\*"])
def test_globs_match_as_those_of_rules_do_whatever_they_are(
    runs: Runs, keep: Keep, glob: str
) -> None:
    leave(runs)
    keep(baseline(run=glob, match="*" if glob == "*" * 200 else glob)).run(NOW)
    assert len(runs.alerts()) == (glob == "*" * 200)


def test_good_runs_are_taken_by_name_and_of_the_same_project_alone(runs: Runs, keep: Keep) -> None:
    leave(runs)
    named = ("good-*", "%", "' OR 1=1 --", *GOOD[:4])
    keep(baseline(good=named), baseline(name="elsewhere", project="none")).run(NOW)
    assert runs.alerts() == []


def test_a_little_is_done_at_a_time_and_comes_to_the_same(runs: Runs, keep: Keep) -> None:
    leave(runs)
    ticks = itertools.count()
    keeper = keep(budget_seconds=0.5, monotonic=lambda: float(next(ticks)))
    rounds = 0
    while not runs.alerts():
        keeper.run(NOW)
        rounds += 1
        assert rounds < 200
    assert rounds > 7 * 4
    assert runs.alerts()[0].evidence["courses_left"] == COURSES


def test_only_what_is_new_is_read_and_not_at_every_snapshot(
    runs: Runs, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    read = course_memory.statistic_courses

    def spy(session: Any, run_id: int, *of: Any, first_step: int, last_step: int) -> Any:
        asked.append((first_step, last_step))
        return read(session, run_id, *of, first_step=first_step, last_step=last_step)

    monkeypatch.setattr(course_memory, "statistic_courses", spy)
    runs.judge("bad", range(0, 300, STEP))
    keeper = keep()
    keeper.run(NOW)
    assert set(asked) == {(0, 290), (0, 590)}
    asked.clear()
    runs.judge("bad", range(300, 340, STEP), grown=2.0)
    keeper.run(NOW)
    assert asked == []
    runs.judge("bad", [340], grown=2.0)
    keeper.run(NOW)
    assert set(asked) == {(291, 340)}
    assert len(runs.alerts()) == 1


def test_the_last_snapshots_of_a_run_that_has_ended_count(runs: Runs, keep: Keep) -> None:
    runs.judge("bad", range(0, 310, STEP))
    keeper = keep()
    keeper.run(NOW)
    runs.judge("bad", range(310, 350, STEP), grown=2.0)
    keeper.run(NOW)
    runs.judge("bad", [350], grown=2.0)
    runs.state("bad", "failed")
    keeper.run(NOW)
    assert [one.detected_step for one in runs.alerts()] == [350]


def test_runs_that_ended_long_ago_are_left_alone(runs: Runs, keep: Keep) -> None:
    leave(runs)
    keep().run(NOW + NEWS_SECONDS + 1)
    assert runs.alerts() == []


def test_more_than_may_be_read_is_said_once(
    runs: Runs, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(baselines, "MOST_POINTS", 1_000)
    leave(runs)
    keeper = keep()
    with caplog.at_level(logging.WARNING, logger="bifurk.service"):
        keeper.run(NOW)
        runs.judge("bad", range(400, 500, STEP), grown=2.0)
        keeper.run(NOW)
    assert runs.alerts() == []
    messages = [line for line in caplog.messages if "run bad is not held" in line]
    assert len(messages) == 1
    assert "more than 1,000" in messages[0]


def test_a_run_that_cannot_be_held_keeps_no_other_from_it(
    runs: Runs, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(runs, "a-bad")
    leave(runs, "b-bad")
    held = baselines.report

    def report(database: Database, run: Any, *of: Any, now: float) -> None:
        if run.run == "a-bad":
            raise RuntimeError("a test")
        held(database, run, *of, now=now)

    monkeypatch.setattr(baselines, "report", report)
    with caplog.at_level(logging.ERROR, logger="bifurk.service"):
        keep().run(NOW)
    assert [one.sentence.split(":")[0] for one in runs.alerts()] == ["b-bad"]
    assert caplog.messages == ["run a-bad cannot be held against baseline steady"]


def test_a_database_that_takes_nothing_now_is_asked_again(
    runs: Runs, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(runs)
    keeper = keep()
    with monkeypatch.context() as broken:
        broken.setattr(baselines, "report", lambda *_a, **_k: (_ for _ in ()).throw(disk_full()))
        with pytest.raises(StorageError):
            keeper.run(NOW)
    keeper.run(NOW)
    assert len(runs.alerts()) == 1


def test_it_cannot_be_run_again_from_a_document(runs: Runs, keep: Keep) -> None:
    leave(runs)
    keep().run(NOW)
    with pytest.raises(ConflictError, match="rests on other runs"):
        evidence_of(runs.database, runs.alerts()[0].id)


def test_the_housekeeper_holds_runs_against_the_file_in_force(runs: Runs, tmp_path: Path) -> None:
    leave(runs)
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: []")
    policy = FollowedPolicy(file)
    keeper = Housekeeper(
        runs.database,
        open_blobs(str(tmp_path / "blobs")),
        started_at=NOW,
        silent_minimum_seconds=600.0,
        retention_days=None,
        policy=policy,
        baselines=lambda: policy.current.baselines,
    )
    keeper.run(NOW)
    assert runs.alerts() == []
    good = ", ".join(GOOD)
    file.write_text(
        "baselines:\n"
        f"- {{name: steady, project: gpt, run: 'b*', good: [{good}], statistics: [std]}}\n"
    )
    assert [policy.refresh(), policy.refresh()] == [False, True]

    def told() -> list[str]:
        keeper.run(NOW)
        return [one.kind for one in runs.alerts()]

    assert wait_for(told, "the alert, a little work at a time") == [KIND]


def delete(database: Database, *names: str) -> None:
    for name in names:
        with database.write() as session:
            [run] = [one.id for one in list_runs(session) if one.run == name]
            delete_run(session, run)


def disk_full() -> StorageError:
    return StorageError("the disk is full", retry_after_seconds=1)
