"""The outbox: one message a change and channel, in order, nothing told twice that waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk_service.domain import Severity
from bifurk_service.store.deliveries import (
    DeliveryFilter,
    bring_forward,
    deliveries_of,
    due,
    enqueue_for_told,
    enqueue_if_graver,
    give_up_absent,
    mark_delivered,
    mark_failed,
    seconds_since_told,
    standing_alerts,
    told_channels,
    waiting_counts,
)
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Delivery, StoredAlert
from tests.database import fresh_database
from tests.pipeline.outbox import Outbox

LONGEST_WAIT_SECONDS = 3600.0


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    database = fresh_database(tmp_path)
    yield Outbox(database)
    database.close()


def due_now(outbox: Outbox, channel: str = "ops", *, now: float = 0.0) -> list[str]:
    with outbox.database.read() as session:
        found = due(session, channel, now=now, longest_wait_seconds=LONGEST_WAIT_SECONDS, limit=10)
        return [delivery.reason for delivery in found]


def delivered(session: Session, delivery_id: int) -> None:
    mark_delivered(session, delivery_id, status_code=200, now=1.0)


def given_up(session: Session, delivery_id: int) -> None:
    mark_failed(session, delivery_id, error="gone", status_code=404, next_try_at=None)


def test_each_channel_gets_its_message(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops", "team", "ops")
    assert outbox.states == [("ops", "raised", "waiting"), ("team", "raised", "waiting")]
    assert due_now(outbox) == ["raised"]


def test_what_makes_an_alert_graver_adds_nothing_to_what_waits(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops")
    outbox.put(alert, "ops", reason="graver")
    assert outbox.states == [("ops", "raised", "waiting")]


def test_an_end_waits_for_its_beginning(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops")
    outbox.put(alert, "ops", reason="resolved")
    assert due_now(outbox) == ["raised"]
    with outbox.database.write() as session:
        delivered(session, outbox.rows[0].id)
    assert due_now(outbox) == ["resolved"]


def test_an_alert_that_is_back_after_its_end_is_told_again(outbox: Outbox) -> None:
    alert = outbox.alert()
    for reason in ("raised", "resolved", "raised"):
        outbox.put(alert, "ops", reason=reason)
    assert [reason for _, reason, _ in outbox.states] == ["raised", "resolved", "raised"]


def test_the_end_goes_to_those_who_heard_of_the_beginning(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops", "team", "pager")
    with outbox.database.write() as session:
        delivered(session, outbox.rows[0].id)
        given_up(session, outbox.rows[1].id)
        stored = session.get_one(StoredAlert, alert)
        assert told_channels(session, alert) == ["ops", "pager"]
        enqueue_for_told(session, stored, reason="resolved", now=2.0)
    assert outbox.states[3:] == [("ops", "resolved", "waiting"), ("pager", "resolved", "waiting")]


def test_when_the_beginning_is_given_up_so_is_the_end(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops")
    outbox.put(alert, "ops", reason="resolved")
    with outbox.database.write() as session:
        given_up(session, outbox.rows[0].id)
    assert [state for *_, state in outbox.states] == ["failed", "failed"]


@pytest.mark.parametrize("next_try_at", [None, 9.0])
def test_what_was_delivered_meanwhile_does_not_wait_again_nor_fail(
    outbox: Outbox, next_try_at: float | None
) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops")
    with outbox.database.write() as session:
        delivered(session, outbox.rows[0].id)
    before = outbox.rows[0]
    with outbox.database.write() as session:
        mark_failed(session, before.id, error="cut", status_code=None, next_try_at=next_try_at)
    after = outbox.rows[0]
    assert (after.state, after.tries, after.error) == ("delivered", before.tries, None)


def test_what_was_given_up_already_gives_up_nothing_more(outbox: Outbox) -> None:
    alert = outbox.alert()
    outbox.put(alert, "ops")
    with outbox.database.write() as session:
        given_up(session, outbox.rows[0].id)
    outbox.put(alert, "ops", reason="graver")
    outbox.put(alert, "ops", reason="resolved")
    with outbox.database.write() as session:
        session.get_one(Delivery, outbox.rows[1].id).state = "failed"
        given_up(session, outbox.rows[0].id)
    assert [state for *_, state in outbox.states] == ["failed", "failed", "waiting"]


@pytest.mark.parametrize(
    ("told", "reason", "then", "news"),
    [
        ("warning", "raised", {}, True),
        ("warning", "graver", {}, True),
        ("critical", "raised", {}, False),
        ("warning", "superseded", {}, False),
        ("warning", "raised", {"state": "resolved"}, False),
        ("warning", "raised", {"silenced_by": "a rule"}, False),
    ],
)
def test_what_became_graver_under_way_is_told_after_it(
    outbox: Outbox, told: str, reason: str, then: dict[str, str], news: bool
) -> None:
    alert = outbox.alert(severity="critical")
    outbox.put(alert, "ops", "team", reason=reason)
    first = outbox.rows[0]
    with outbox.database.write() as session:
        for name, value in then.items():
            setattr(session.get_one(StoredAlert, alert), name, value)
        delivered(session, first.id)
        enqueue_if_graver(session, first, told=Severity(told), now=3.0)
    assert outbox.states[2:] == ([("ops", "graver", "waiting")] if news else [])


def test_a_message_is_due_when_its_time_has_come_and_when_the_clock_was_set_back(
    outbox: Outbox,
) -> None:
    outbox.put(outbox.alert(), "ops", now=1000.0)
    assert due_now(outbox, now=999.0) == []
    assert due_now(outbox, now=1000.0) == ["raised"]
    assert due_now(outbox, now=999.0 - LONGEST_WAIT_SECONDS) == ["raised"]


def test_a_channel_that_answers_again_has_everything_due(outbox: Outbox) -> None:
    outbox.put(outbox.alert(), "ops", "team")
    with outbox.database.write() as session:
        for row in outbox.rows:
            mark_failed(session, row.id, error="down", status_code=None, next_try_at=900.0)
        bring_forward(session, "ops", now=10.0)
    assert due_now(outbox, now=10.0) == ["raised"]
    assert due_now(outbox, "team", now=10.0) == []


def test_what_waits_for_a_channel_that_is_no_more_is_given_up(outbox: Outbox) -> None:
    outbox.put(outbox.alert(), "ops", "team")
    with outbox.database.write() as session:
        assert give_up_absent(session, ["ops"]) == 1
        assert waiting_counts(session) == {"ops": 1}


def test_a_cooldown_counts_from_the_last_message_of_the_kind(outbox: Outbox) -> None:
    outbox.put(outbox.alert(kind="frozen"), "ops", now=100.0)
    alert = outbox.alert(kind="frozen")
    outbox.put(alert, "ops", now=200.0)
    outbox.put(alert, "ops", reason="resolved", now=300.0)
    with outbox.database.read() as session:
        assert seconds_since_told(session, 1, "frozen", 260.0) == 60.0
        assert seconds_since_told(session, 1, "frozen", 150.0) == 0.0
        assert seconds_since_told(session, 1, "collapsed", 260.0) is None
        assert seconds_since_told(session, 2, "frozen", 260.0) is None


def test_what_stands_is_what_was_told_and_is_not_resolved(outbox: Outbox) -> None:
    told, untold, resolved = outbox.alert(), outbox.alert(), outbox.alert()
    for alert in (told, untold, resolved):
        outbox.put(alert, "ops")
    with outbox.database.write() as session:
        delivered(session, outbox.rows[0].id)
        delivered(session, outbox.rows[2].id)
    outbox.put(resolved, "ops", reason="resolved")
    with outbox.database.read() as session:
        assert [alert.id for alert in standing_alerts(session, "ops", limit=10)] == [told]
        assert standing_alerts(session, "team", limit=10) == []


def test_the_log_is_filtered_and_paged(outbox: Outbox) -> None:
    first, second = outbox.alert(), outbox.alert()
    outbox.put(first, "ops", "team")
    outbox.put(second, "ops")
    with outbox.database.write() as session:
        given_up(session, outbox.rows[0].id)

    def listed(after_id: int = 0, limit: int = 10, **wanted: object) -> list[int]:
        with outbox.database.read() as session:
            chosen = DeliveryFilter(**wanted)  # type: ignore[arg-type]
            found = deliveries_of(session, chosen, after_id=after_id, limit=limit)
            return [delivery.id for delivery in found]

    ids = [row.id for row in outbox.rows]
    assert listed() == ids
    assert listed(limit=2) == ids[:2]
    assert listed(after_id=ids[0]) == ids[1:]
    assert listed(alert_id=first) == ids[:2]
    assert listed(channel="ops") == [ids[0], ids[2]]
    assert listed(states=("failed",)) == [ids[0]]
    assert listed(project="gpt") == ids
    assert listed(project="other") == []


def test_a_reason_that_is_none_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        outbox.put(outbox.alert(), "ops", reason="told")
