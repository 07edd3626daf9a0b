"""The life of an alert: what happens to it by itself, by rules and by later attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from bifurk.wire import Part
from bifurk_service.detect.judge import Verdict
from bifurk_service.domain import (
    AffectedTensor,
    Alert,
    AlertState,
    AttemptState,
    Severity,
    TensorInfo,
)
from bifurk_service.notify.alerts_file import Match, Rule
from bifurk_service.notify.rules import Policy, Ruling
from bifurk_service.pipeline import judging
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.store.alert_history import history_of
from bifurk_service.store.alert_lists import alert_counts
from bifurk_service.store.alerts import move_alert
from bifurk_service.store.models import AlertChange, Attempt, Delivery, Event, StoredAlert
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.runs import set_attempt_state
from bifurk_service.store.timeline import timeline
from tests.parts import make_part, make_tensor
from tests.pipeline.house import House

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
EVERYTHING = Rule(
    name="everything",
    action="notify",
    match=Match(severity=(INFO, WARNING, CRITICAL)),
    channels=("team",),
)
WEIGHTS = (make_tensor("w0", np.ones(2, dtype=np.float32)),)
"""What is judged is in the script."""


def small_part(sequence: int, **manifest: Any) -> Part:
    return replace(make_part(sequence, **manifest), tensors=WEIGHTS)


class Script:
    """A judge that says at each step what it was told to say; what it said is gone."""

    definition = "scripted"
    tensor_ids = ()

    def __init__(self) -> None:
        self.lines: dict[int, Verdict] = {}

    def update(self, clock: Any, *_statistics: object) -> Verdict:
        return self.lines.pop(clock.step, Verdict())

    def put_away(self) -> Iterable[bytes]:
        return ()

    def take_up(self, pieces: Iterable[bytes]) -> None:
        assert list(pieces) == []


class Stage:
    """A house whose judge follows a script, with the alerts it comes to."""

    def __init__(self, house: House, script: Script) -> None:
        self.house = house
        self.script = script
        self.follow(EVERYTHING)

    def follow(self, *rules: Rule) -> None:
        """From now on these rules hold."""
        self.house.policy = Policy(rules=rules)
        self.house.pipeline = self.house.new_pipeline()

    def at(
        self,
        step: int,
        *alerts: Alert,
        returned: Iterable[str] = (),
        attempt: str = "first",
        starts_at: int = 0,
    ) -> None:
        """Judges the attempt's snapshot at a step, a multiple of ten, with this verdict."""
        if alerts or returned:
            self.script.lines[step] = Verdict(alerts=alerts, returned=tuple(returned))
        self.receive(step, attempt=attempt, starts_at=starts_at)
        self.house.run_until("judged", "late")

    def receive(self, step: int, *, attempt: str = "first", starts_at: int = 0) -> None:
        sequence = (step - starts_at) // 10
        self.house.receive(small_part(sequence, attempt=attempt, step=step, previous_step=None))

    def alert(self, fingerprint: str = "event", attempt: int = 1) -> StoredAlert:
        with self.house.database.read() as session:
            return session.scalars(
                select(StoredAlert).where(
                    StoredAlert.fingerprint == fingerprint, StoredAlert.attempt_id == attempt
                )
            ).one()

    def history(self, fingerprint: str = "event", attempt: int = 1) -> list[AlertChange]:
        alert = self.alert(fingerprint, attempt)
        with self.house.database.read() as session:
            return history_of(session, alert.id, after_id=0, limit=1000)

    def changes(self, fingerprint: str = "event") -> list[str]:
        return [change.change for change in self.history(fingerprint)]

    def told(self) -> list[tuple[str, str]]:
        """Whom the outbox is to tell of what: fingerprints and reasons."""
        with self.house.database.read() as session:
            rows = session.execute(
                select(StoredAlert.fingerprint, Delivery.reason)
                .join(Delivery, Delivery.alert_id == StoredAlert.id)
                .order_by(Delivery.id)
            )
            return [(fingerprint, reason) for fingerprint, reason in rows]

    def delivered(self) -> None:
        """All that waited has arrived."""
        with self.house.database.write() as session:
            for delivery in session.scalars(select(Delivery)):
                delivery.state = "delivered"

    def person(self, state: AlertState, note: str | None = None) -> None:
        with self.house.database.write() as session:
            move_alert(session, self.alert().id, state, who="ada", note=note, now=5.0)

    def streamed(self) -> list[dict[str, Any]]:
        with self.house.database.read() as session:
            query = select(Event).where(Event.kind == "alert").order_by(Event.id)
            return [event.data for event in session.scalars(query)]


@pytest.fixture
def stage(house: House, monkeypatch: pytest.MonkeyPatch) -> Stage:
    script = Script()
    monkeypatch.setattr(judging, "judge_of", lambda _session, _run: script)
    return Stage(house, script)


def alert(
    fingerprint: str = "event",
    *,
    step: int = 0,
    severity: Severity = WARNING,
    tensors: int = 1,
    kind: str = "regime_shift",
    parent: str = "",
) -> Alert:
    return Alert(
        fingerprint=fingerprint,
        kind=kind,
        severity=severity,
        statistic="std",
        tensors=tuple(map(affected, range(tensors))),
        detected_step=step,
        detected_sequence=step // 10,
        onset_first_step=step,
        onset_last_step=step,
        before=1.0,
        after=2.0,
        score=1.5,
        sentence=f"run: {fingerprint}",
        parent=parent,
        false_alarms_per_10000=0.25,
    )


def affected(place: int) -> AffectedTensor:
    info = TensorInfo(id=place + 1, name=f"w{place}", layer=0, role="mlp.up", shape=(2, 2))
    return AffectedTensor(
        tensor=info,
        statistics=("std", "rms"),
        onset_first_step=0,
        onset_last_step=0,
        before=1.0,
        after=2.0,
        score=1.5,
        first_statistic="rms",
        branch=1,
    )


def test_an_alert_is_raised_with_all_that_is_known_of_it(stage: Stage) -> None:
    stage.at(0, alert())
    stored = stage.alert()
    assert (stored.state, stored.false_alarms_per_10000, stored.resolved_at) == (
        "firing", 0.25, None,
    )  # fmt: skip
    assert (stored.tensors[0]["first_statistic"], stored.tensors[0]["branch"]) == ("rms", 1)
    [raised] = stage.history()
    assert (raised.change, raised.state, raised.severity, raised.who) == (
        "raised", "firing", "warning", "bifurk",
    )  # fmt: skip
    assert stage.told() == [("event", "raised")]


def test_what_is_acknowledged_stays_so_while_it_grows_and_fires_again_when_it_is_graver(
    stage: Stage,
) -> None:
    stage.at(0, alert())
    stage.delivered()
    stage.person(AlertState.ACKNOWLEDGED, note="on it")
    stage.at(10, alert(tensors=2))
    assert stage.alert().state == "acknowledged"
    stage.at(20, alert(tensors=2, severity=CRITICAL))
    assert stage.alert().state == "firing"
    assert stage.changes() == ["raised", "acknowledged", "grew", "graver"]
    acknowledged = stage.history()[1]
    assert (acknowledged.who, acknowledged.note, acknowledged.at) == ("ada", "on it", 5.0)
    assert stage.told() == [("event", "raised"), ("event", "graver")]


def test_what_has_returned_is_resolved_by_itself_and_fires_again_when_it_grows(
    stage: Stage,
) -> None:
    stage.at(0, alert(), alert("other"))
    stage.at(10, returned=["event"])
    assert stage.alert("other").state == "firing"
    stored = stage.alert()
    assert stored.state == "resolved"
    assert stored.resolved_at == stored.updated_at
    resolved = stage.history()[-1]
    assert (resolved.change, resolved.who) == ("resolved", "bifurk")
    assert resolved.note == "the series has been back for 24 snapshots"
    stage.delivered()
    stage.at(20, alert(tensors=2))
    assert (stage.alert().state, stage.alert().resolved_at) == ("firing", None)
    assert stage.changes() == ["raised", "resolved", "reopened"]
    event = [reason for fingerprint, reason in stage.told() if fingerprint == "event"]
    assert event == ["raised", "resolved", "raised"]


def test_what_has_returned_twice_is_resolved_once(stage: Stage) -> None:
    stage.at(0, alert())
    for step in (10, 20):
        stage.at(step, returned=["event", "never raised"])
    assert stage.changes() == ["raised", "resolved"]


def test_what_a_person_has_resolved_stays_so_and_its_growth_is_recorded(stage: Stage) -> None:
    stage.at(0, alert())
    stage.person(AlertState.RESOLVED)
    stage.at(10, alert(tensors=4, severity=CRITICAL))
    assert (stage.alert().state, len(stage.alert().tensors)) == ("resolved", 4)
    assert stage.changes() == ["raised", "resolved", "grew"]
    assert stage.history()[-1].note == "from 1 to 4 tensors"
    assert stage.told() == [("event", "raised"), ("event", "resolved")]


def test_what_was_resolved_before_there_was_a_history_stays_so(stage: Stage) -> None:
    stage.at(0, alert())
    with stage.house.database.write() as session:
        session.get_one(StoredAlert, 1).state = "resolved"
        for change in session.scalars(select(AlertChange)):
            session.delete(change)
    stage.at(10, alert(tensors=2))
    assert stage.alert().state == "resolved"


def test_many_small_growths_write_few_lines_of_history_and_all_go_into_the_stream(
    stage: Stage,
) -> None:
    stage.at(0, *(alert(tensors=count) for count in range(1, 101)))
    assert stage.changes() == ["raised", *["grew"] * 6]
    assert stage.history()[-1].note == "from 63 to 64 tensors"
    assert len(stage.streamed()) == 100
    assert stage.told() == [("event", "raised")]


def test_an_alert_that_turns_out_slighter_says_what_it_was(stage: Stage) -> None:
    stage.at(0, alert(severity=CRITICAL))
    stage.at(10, alert(severity=INFO))
    assert stage.history()[-1].note == "was critical"
    assert stage.told() == [("event", "raised")]


def test_every_change_in_the_history_is_in_the_stream_with_who(stage: Stage) -> None:
    stage.at(0, alert())
    stage.person(AlertState.ACKNOWLEDGED)
    stage.at(10, alert(severity=CRITICAL))
    stage.person(AlertState.RESOLVED)
    streamed = [(event["change"], event["state"], event["who"]) for event in stage.streamed()]
    assert streamed == [(c.change, c.state, c.who) for c in stage.history()]
    assert streamed == [
        ("raised", "firing", "bifurk"),
        ("acknowledged", "acknowledged", "ada"),
        ("graver", "firing", "bifurk"),
        ("resolved", "resolved", "ada"),
    ]


QUIET = Rule(name="no embeddings", action="silence", match=Match(severity=(WARNING,)))


def test_a_silenced_alert_is_kept_and_neither_told_nor_counted_as_firing(stage: Stage) -> None:
    stage.follow(QUIET, EVERYTHING)
    stage.at(0, alert(), alert("grave", severity=CRITICAL))
    assert (stage.alert().state, stage.alert().silenced_by) == ("firing", "no embeddings")
    assert stage.changes() == ["raised", "silenced"]
    assert stage.history()[-1].note == "by rule no embeddings"
    assert stage.told() == [("grave", "raised")]
    with stage.house.database.read() as session:
        assert run_summary(session, 1).alerts == {"critical": 1}
        assert {row.severity: row.silenced for row in alert_counts(session)} == {
            "warning": True,
            "critical": False,
        }


def test_a_silenced_alert_that_outgrows_its_rule_is_told(stage: Stage) -> None:
    stage.follow(QUIET, EVERYTHING)
    stage.at(0, alert())
    stage.at(10, alert(severity=CRITICAL))
    assert stage.alert().silenced_by is None
    assert stage.changes() == ["raised", "silenced", "graver", "grew"]
    assert stage.history()[-1].note == "no longer silenced by rule no embeddings"
    assert stage.told() == [("event", "graver")]


def test_a_cooldown_keeps_the_next_alert_quiet_and_not_the_one_that_was_told(
    stage: Stage,
) -> None:
    stage.follow(EVERYTHING.model_copy(update={"cooldown_minutes": 60.0}))
    stage.at(0, alert())
    stage.delivered()
    stage.at(10, alert("next"), alert(tensors=2), alert("other", kind="frozen"))
    assert stage.alert().silenced_by is None
    assert stage.alert("next").silenced_by == "everything"
    stage.at(20, alert(severity=CRITICAL))
    assert stage.told() == [("event", "raised"), ("other", "raised"), ("event", "graver")]


def test_a_part_of_another_alert_is_kept_and_not_told(stage: Stage) -> None:
    stage.at(0, alert("whole"), alert("part", parent="whole"))
    assert stage.alert("part").parent == "whole"
    assert stage.changes("part") == ["raised", "joined"]
    assert stage.told() == [("whole", "raised")]


def test_an_alert_may_become_a_part_of_another_later(stage: Stage) -> None:
    stage.at(0, alert())
    stage.at(10, alert("whole"), alert(parent="whole"))
    stage.at(20, alert(parent="whole"))
    assert stage.changes() == ["raised", "joined"]


def test_what_a_person_does_to_an_alert_is_done_to_its_parts(stage: Stage) -> None:
    stage.at(0, alert(), alert("part", parent="event"), alert("over", parent="event"))
    stage.at(10, returned=["over"])
    stage.person(AlertState.ACKNOWLEDGED)
    stage.person(AlertState.RESOLVED, note="fixed")
    assert stage.alert("part").state == "resolved"
    assert [change.note for change in stage.history("part")[-2:]] == ["with alert 1"] * 2
    assert stage.changes("over") == ["raised", "joined", "resolved"]


def superseded(stage: Stage, *fingerprints: str) -> list[bool]:
    return [stage.alert(fingerprint).superseded for fingerprint in fingerprints]


def test_an_attempt_that_goes_back_supersedes_the_alerts_of_what_it_goes_over_again(
    stage: Stage,
) -> None:
    stage.at(0, alert("before"))
    stage.at(10, alert("at", step=10))
    stage.at(20, alert("beyond", step=20))
    stage.at(10, attempt="second", starts_at=10)
    assert superseded(stage, "before", "at", "beyond") == [False, True, True]
    assert stage.alert("before").state == "firing"
    assert stage.changes("at") == ["raised", "superseded", "resolved"]
    for change in stage.history("at")[1:]:
        assert change.who == "bifurk"
        assert change.note == "attempt second went over this stretch again"
    ends = [fingerprint for fingerprint, reason in stage.told() if reason == "superseded"]
    assert ends == ["at", "beyond"]


def test_what_is_superseded_does_not_fire_again_and_is_marked_once(stage: Stage) -> None:
    stage.at(0)
    stage.at(10, alert(step=10))
    for step in (10, 20):
        stage.at(step, attempt="second", starts_at=10)
    stage.at(20, alert(step=10, tensors=2, severity=CRITICAL))
    assert stage.alert().state == "resolved"
    assert stage.changes() == ["raised", "superseded", "resolved", "grew"]


def test_an_alert_of_a_stretch_that_is_superseded_already_is_marked_at_once(stage: Stage) -> None:
    stage.at(0)
    stage.receive(20)
    stage.house.pipeline.advance()
    stage.script.lines = {20: Verdict(alerts=(alert(step=20),))}
    stage.house.receive(small_part(0, attempt="second", step=10, previous_step=None))
    stage.receive(10)
    stage.house.run_until("judged")
    assert stage.changes() == ["raised", "superseded", "resolved"]
    assert stage.told() == []


def test_a_snapshot_that_comes_late_moves_the_beginning_of_its_attempt(stage: Stage) -> None:
    stage.at(0)
    stage.at(10, alert(step=10))
    stage.receive(30, attempt="second", starts_at=10)
    stage.house.wait_in_vain()
    stage.house.run_until("judged")
    assert not stage.alert().superseded
    stage.receive(10, attempt="second", starts_at=10)
    stage.house.run_until("judged", "late")
    assert stage.alert().superseded


def test_what_is_superseded_is_what_is_off_the_timeline(stage: Stage) -> None:
    for step in range(0, 60, 10):
        stage.at(step, alert(f"first-{step}", step=step))
    for step in range(40, 60, 10):
        stage.at(step, alert(f"second-{step}", step=step), attempt="second", starts_at=40)
    stage.at(20, alert("third-20", step=20), attempt="third", starts_at=20)
    with stage.house.database.read() as session:
        stretches = {stretch.attempt_id: stretch for stretch in timeline(session, 1)}
        alerts = list(session.scalars(select(StoredAlert)))
    assert len(alerts) == 9
    for one in alerts:
        stretch = stretches.get(one.attempt_id)
        counts = stretch is not None and (stretch.end is None or one.detected_step < stretch.end)
        assert one.superseded is not counts, one.fingerprint


def test_alerts_of_an_attempt_that_trains_beside_a_later_one_stand(stage: Stage) -> None:
    def at(wall_clock: float, step: int, *alerts: Alert, attempt: str) -> None:
        stage.script.lines[step] = Verdict(alerts=alerts)
        part = small_part(step // 10, attempt=attempt, wall_clock_seconds=wall_clock)
        stage.house.receive(part)
        stage.house.run_until("judged", "late")

    at(1.0, 0, attempt="first")
    at(2.0, 0, attempt="second")
    at(3.0, 10, alert("of the first", step=10), attempt="first")
    at(4.0, 10, attempt="second")
    at(5.0, 20, alert("of the first too", step=20), attempt="first")
    at(6.0, 20, attempt="second")
    assert superseded(stage, "of the first", "of the first too") == [False, False]
    assert stage.alert("of the first").state == "firing"


def test_a_rule_that_fails_leaves_nothing_half_kept(stage: Stage) -> None:
    verdict = Verdict(alerts=(alert("kept first", severity=INFO), alert()))

    class FailsOnce:
        failed = False

        def rule(self, ruled: Alert, **about: Any) -> Ruling:
            if ruled.fingerprint == "event" and not self.failed:
                self.failed = True
                stage.script.lines[0] = verdict
                raise ValueError("a rule of its own mind")
            return Policy(rules=(EVERYTHING,)).rule(ruled, **about)

    stage.house.policy = FailsOnce()
    stage.house.pipeline = stage.house.new_pipeline()
    stage.at(0, *verdict.alerts)
    assert stage.house.policy.failed
    assert stage.changes("kept first") == stage.changes() == ["raised"]
    assert stage.told() == [("kept first", "raised"), ("event", "raised")]


def test_silence_is_told_by_the_rules_and_over_when_the_attempt_is_heard_of(stage: Stage) -> None:
    stage.at(0)
    keeper = Housekeeper(
        stage.house.database,
        stage.house.blobs,
        started_at=0.0,
        silent_minimum_seconds=600.0,
        retention_days=None,
        policy=stage.house.policy,
    )
    with stage.house.database.read() as session:
        seen_at = session.get_one(Attempt, 1).seen_at
    for silence in (1_000, 2_000):
        for late in range(silence - 900, silence, 50):
            keeper.run(seen_at + late)
        with stage.house.database.write() as session:
            attempt = session.get_one(Attempt, 1)
            set_attempt_state(session, attempt, AttemptState.RUNNING, now=seen_at + silence)
    with stage.house.database.read() as session:
        changes = history_of(session, 1, after_id=0, limit=10)
    assert [change.change for change in changes] == ["raised", "resolved", "reopened", "resolved"]
    assert changes[1].note == "the attempt was heard of again"
    assert stage.told()[0][1] == "raised"


def test_alerts_of_a_run_that_ends_stay(stage: Stage) -> None:
    stage.at(0, alert())
    stage.house.finish()
    stage.at(10, replace(alert(), tensors=alert(tensors=3).tensors))
    assert stage.alert().state == "firing"
