"""A run that leaves the band of its good runs is told of once, until it is back."""

from __future__ import annotations

from sqlalchemy import select

from bifurk_service.detect.leaves_baseline import KIND
from bifurk_service.domain import AlertState
from bifurk_service.notify.alerts_file import Match, Rule
from bifurk_service.pipeline.baseline_reports import BACK
from bifurk_service.store.alert_history import history_of
from bifurk_service.store.alerts import move_alert
from bifurk_service.store.models import Attempt, Snapshot, StoredMark
from bifurk_service.store.superseding import supersede_earlier
from tests.pipeline.baselined import (
    COURSES,
    GOOD,
    LAYERS,
    LEAVES,
    NOW,
    STEP,
    Keep,
    Runs,
    baseline,
    leave,
)


def test_a_run_like_the_good_ones_is_not_told_of(runs: Runs, keep: Keep) -> None:
    for number in range(5):
        runs.judge(f"like-{number}", range(0, 600, STEP))
    keep().run(NOW)
    assert runs.alerts() == []


def test_a_run_that_leaves_is_told_of_with_what_it_rests_on(runs: Runs, keep: Keep) -> None:
    leave(runs)
    keep().run(NOW)
    [alert] = runs.alerts()
    assert (alert.kind, alert.severity, alert.state) == (KIND, "warning", "firing")
    assert (alert.onset_first_step, alert.onset_last_step) == (LEAVES - STEP, LEAVES)
    assert (alert.detected_step, alert.detected_sequence) == (LEAVES + 4 * STEP, 34)
    assert {one["onset_last_step"] for one in alert.tensors} == {LEAVES}
    assert len(alert.tensors) == 4 * LAYERS
    assert alert.after > alert.before
    assert alert.false_alarms_per_10000 is None
    assert f"bad: {COURSES} of {COURSES} courses left the band of 6 good runs (steady)" in (
        alert.sentence
    )
    assert sorted(alert.evidence["good"]) == sorted(GOOD)
    assert alert.evidence["courses_left"] == COURSES
    assert runs.told() == ["raised"]
    assert runs.streamed() == ["raised"]


def test_the_last_checkpoint_before_it_began_is_named(runs: Runs, keep: Keep) -> None:
    """That of an attempt whose steps another went over again is none to go back to."""
    runs.judge("bad", range(0, 310, STEP))
    runs.judge("bad", range(250, 300, STEP), attempt="second")
    runs.judge("bad", range(300, 400, STEP), attempt="second", grown=2.0)
    with runs.database.write() as session:
        for attempt, step in ((7, 100), (7, 240), (7, 280), (8, 310)):
            snapshot = session.scalars(
                select(Snapshot).where(Snapshot.attempt_id == attempt, Snapshot.step == step)
            ).one()
            details = {"path": f"{step}.pt"}
            session.add(
                StoredMark(snapshot_id=snapshot.id, kind="checkpoint", step=step, details=details)
            )
    keep().run(NOW)
    [alert] = runs.alerts()
    assert alert.checkpoint == {"kind": "checkpoint", "step": 240, "details": {"path": "240.pt"}}


def test_nothing_new_is_told_twice_neither_later_nor_after_a_restart(
    runs: Runs, keep: Keep
) -> None:
    leave(runs)
    keeper = keep()
    for until in (400, 500):
        keeper.run(NOW)
        keeper.run(NOW)
        keep().run(NOW)
        runs.judge("bad", range(until, until + 100, STEP), grown=2.0)
    assert runs.streamed() == ["raised"]
    assert runs.told() == ["raised"]


def test_an_alert_grows_as_more_courses_leave(runs: Runs, keep: Keep) -> None:
    leave(runs, groups=("mlp.up", "mlp.down"))
    keeper = keep()
    keeper.run(NOW)
    [before] = runs.alerts()
    runs.judge("bad", range(400, 500, STEP), grown=2.0)
    keeper.run(NOW)
    [after] = runs.alerts()
    assert (before.id, before.detected_step) == (after.id, after.detected_step)
    assert (len(before.tensors), len(after.tensors)) == (2 * LAYERS, 4 * LAYERS)
    assert runs.streamed() == ["raised", "grew"]
    assert runs.told() == ["raised"]


def test_two_of_eight_courses_are_too_few(runs: Runs, keep: Keep) -> None:
    leave(runs, groups=("mlp.up",))
    keep().run(NOW)
    assert runs.alerts() == []


def test_where_one_course_is_held_it_is_enough(runs: Runs, keep: Keep) -> None:
    leave(runs, groups=("mlp.up",))
    keep(baseline(roles=["mlp.up"], statistics=["std"])).run(NOW)
    [alert] = runs.alerts()
    assert "bad: the course left the band of 6 good runs (steady)" in alert.sentence


def test_a_run_that_is_back_is_resolved_and_fires_again_if_it_leaves_again(
    runs: Runs, keep: Keep
) -> None:
    leave(runs)
    keeper = keep()
    keeper.run(NOW)
    runs.judge("bad", range(400, 450, STEP))
    keeper.run(NOW)
    [alert] = runs.alerts()
    assert alert.state == "resolved"
    runs.judge("bad", range(450, 500, STEP), grown=2.0)
    keeper.run(NOW)
    [alert] = runs.alerts()
    assert (alert.state, alert.detected_step) == ("firing", 490)
    with runs.database.read() as session:
        changes = history_of(session, alert.id, after_id=0, limit=10)
    assert [one.change for one in changes] == ["raised", "resolved", "reopened"]
    assert changes[1].note == BACK
    assert runs.told() == ["raised", "resolved", "raised"]


def test_a_server_that_was_away_meanwhile_tells_of_what_is_over(runs: Runs, keep: Keep) -> None:
    leave(runs)
    runs.judge("bad", range(400, 500, STEP))
    for _ in range(2):
        keep().run(NOW)
    [alert] = runs.alerts()
    assert (alert.state, alert.detected_step) == ("resolved", LEAVES + 4 * STEP)
    assert runs.streamed() == ["raised", "resolved"]


def test_a_persons_word_is_the_last(runs: Runs, keep: Keep) -> None:
    leave(runs)
    keeper = keep()
    keeper.run(NOW)
    with runs.database.write() as session:
        move_alert(session, runs.alerts()[0].id, AlertState.RESOLVED, who="ada", now=NOW)
    runs.judge("bad", range(400, 500, STEP), grown=2.0)
    keeper.run(NOW)
    keep().run(NOW)
    assert [alert.state for alert in runs.alerts()] == ["resolved"]


def test_a_rule_silences_it_like_any_other(runs: Runs, keep: Keep) -> None:
    leave(runs)
    quiet = Rule(name="quiet", action="silence", match=Match(kind=("leaves_*",)))
    keep(rules=(quiet,)).run(NOW)
    [alert] = runs.alerts()
    assert alert.silenced_by == "quiet"
    assert runs.told() == []


def test_a_later_attempt_over_the_same_steps_supersedes_it(runs: Runs, keep: Keep) -> None:
    leave(runs)
    keeper = keep()
    keeper.run(NOW)
    runs.judge("bad", range(200, 400, STEP), attempt="second")
    with runs.database.write() as session:
        supersede_earlier(session, session.get_one(Attempt, 8), now=NOW)
    keeper.run(NOW)
    assert [(one.superseded, one.state) for one in runs.alerts()] == [(True, "resolved")]
    runs.judge("bad", range(400, 500, STEP), attempt="second", grown=2.0)
    keeper.run(NOW)
    assert [(one.attempt_id, one.state) for one in runs.alerts()] == [
        (7, "resolved"), (8, "firing"),
    ]  # fmt: skip


def test_an_attempt_that_goes_on_outside_has_no_alert_of_its_own_and_ends_the_first(
    runs: Runs, keep: Keep
) -> None:
    leave(runs)
    keeper = keep()
    keeper.run(NOW)
    runs.judge("bad", range(400, 450, STEP), attempt="second", grown=2.0)
    keeper.run(NOW)
    assert [(one.attempt_id, one.state) for one in runs.alerts()] == [(7, "firing")]
    runs.judge("bad", range(450, 500, STEP), attempt="second")
    keeper.run(NOW)
    assert [(one.attempt_id, one.state) for one in runs.alerts()] == [(7, "resolved")]
