"""A channel is told: in order, at least once, again after a while, and never for ever."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.errors import StorageError
from bifurk_service.notify.addresses import Destinations
from bifurk_service.notify.channels import Channel
from bifurk_service.notify.messages import send
from bifurk_service.notify.notice import Notice
from bifurk_service.notify.sending import Outcome, Sender
from bifurk_service.pipeline import notifying as notifying_module
from bifurk_service.pipeline import telling
from bifurk_service.pipeline.telling import GIVE_UP_SECONDS, Teller
from bifurk_service.store.deliveries import mark_failed
from bifurk_service.store.engine import Database, Session
from tests.database import fresh_database
from tests.notify.receiver import Receiver
from tests.pipeline.notified import channels_file, notifying
from tests.pipeline.outbox import Outbox
from tests.ports import own_port
from tests.server import wait_for


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> float:
        return self.seconds


class Desk:
    """One teller with its outbox and a real receiver."""

    def __init__(self, database: Database, *, type: str = "webhook") -> None:
        self.outbox = Outbox(database)
        self.receiver = Receiver(port=own_port())
        self.clock = Clock()
        self.observed: list[str] = []
        self.leads = True
        self.teller = self.new_teller(database, type)

    def new_teller(self, database: Database, type: str = "webhook") -> Teller:
        channel = Channel(
            name="ops",
            type=type,  # type: ignore[arg-type]
            url=self.receiver.url,
            secret="key" if type == "webhook" else None,
            repeat_seconds=60.0 if type == "alertmanager" else None,
            timeout_seconds=60.0,
        )
        return Teller(
            database,
            channel,
            Sender(Destinations(private=True)),
            public_url="https://bifurk.example.org",
            observe=lambda _channel, outcome: self.observed.append(outcome),
            may_send=lambda: self.leads,
            now=self.clock.now,
            monotonic=self.clock.now,
            draw=lambda: 0.5,
        )

    def put(self, alert: int, reason: str = "raised") -> None:
        self.outbox.put(alert, "ops", reason=reason, now=self.clock.seconds)

    def later(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.teller.advance()

    @property
    def statuses(self) -> list[str]:
        return [got.json["status"] for got in self.receiver.received]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = fresh_database(tmp_path)
    yield found
    found.close()


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    found = Desk(database)
    yield found
    found.receiver.close()


def test_an_alert_is_told_signed_and_then_its_end(desk: Desk) -> None:
    alert = desk.outbox.alert()
    desk.put(alert)
    desk.put(alert, "resolved")
    desk.teller.advance()
    desk.teller.advance()
    assert desk.statuses == ["firing", "resolved"]
    first, second = desk.receiver.received
    assert first.json["alerts"][0]["fingerprint"] == second.json["alerts"][0]["fingerprint"]
    assert first.headers["X-Bifurk-Signature"].startswith("t=1800000000,v1=")
    assert first.json["alerts"][0]["generatorURL"] == f"https://bifurk.example.org/alerts/{alert}"
    assert [state for *_, state in desk.outbox.states] == ["delivered", "delivered"]
    assert desk.observed == ["delivered", "delivered"]


def test_a_message_says_how_the_alert_stands_when_it_is_sent(desk: Desk) -> None:
    alert = desk.outbox.alert()
    desk.put(alert)
    desk.put(alert, "graver")
    desk.teller.advance()
    [got] = desk.receiver.received
    assert got.json["commonLabels"]["severity"] == "critical"


def test_what_becomes_graver_while_the_message_is_under_way_is_told_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = desk.outbox.alert()
    desk.put(alert)

    def overtaken(*given: Any, **named: Any) -> Outcome:
        outcome = send(*given, **named)
        desk.put(alert, "graver")
        return outcome

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(telling, "send", overtaken)
        desk.teller.advance()
    for _ in range(3):
        desk.teller.advance()
    severities = [got.json["commonLabels"]["severity"] for got in desk.receiver.received]
    assert severities == ["warning", "critical"]
    assert [(reason, state) for _, reason, state in desk.outbox.states] == [
        ("raised", "delivered"),
        ("graver", "delivered"),
    ]


def test_a_message_that_cannot_be_made_or_sent_holds_up_none_behind_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = desk.outbox.alert(kind="poison"), desk.outbox.alert()
    desk.put(first)
    desk.put(second)

    def picky(sender: Sender, channel: Channel, notice: Notice, **named: Any) -> Outcome:
        if notice.kind == "poison":
            raise LookupError(f"at {channel.url}")
        return send(sender, channel, notice, **named)

    monkeypatch.setattr(telling, "send", picky)
    with caplog.at_level(logging.ERROR, logger="bifurk.service"):
        desk.teller.advance()
        desk.later(1000.0)
    poison, good = desk.outbox.rows
    assert (poison.state, poison.tries, poison.error) == ("waiting", 2, "LookupError")
    assert good.state == "delivered"
    assert caplog.text.count("met LookupError and goes on") == 1
    assert "in picky" in caplog.text
    assert desk.receiver.url not in caplog.text


def test_a_wait_until_a_date_beyond_all_dates_is_none(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    date = "Thu, 26 Nov 99999999999999999999 12:00:00 GMT"
    desk.receiver.answer(503, {"Retry-After": date})
    desk.teller.advance()
    desk.later(5.0)
    assert [state for *_, state in desk.outbox.states] == ["delivered"]


def test_what_does_not_arrive_is_tried_again_ever_more_slowly(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    waits = []
    for _ in range(12):
        desk.receiver.answer(503)
        desk.teller.advance()
        [row] = desk.outbox.rows
        waits.append(row.next_try_at - desk.clock.seconds)
        desk.clock.seconds = row.next_try_at
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
    desk.teller.advance()
    [row] = desk.outbox.rows
    assert (row.state, row.tries, row.error) == ("delivered", 13, None)
    assert desk.observed == ["retried"] * 12 + ["delivered"]


def test_before_its_time_nothing_is_tried(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    desk.receiver.answer(503)
    desk.teller.advance()
    desk.later(4.9)
    assert len(desk.receiver.received) == 1
    desk.later(0.1)
    assert len(desk.receiver.received) == 2


def test_who_does_not_lead_any_more_sends_nothing(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    desk.leads = False
    desk.teller.advance()
    assert desk.receiver.received == []
    desk.leads = True
    desk.teller.advance()
    assert desk.statuses == ["firing"]


def test_a_receiver_that_asks_for_time_gets_it_from_every_message(desk: Desk) -> None:
    for _ in range(3):
        desk.put(desk.outbox.alert())
    desk.receiver.answer(429, {"Retry-After": "60"})
    desk.teller.advance()
    desk.later(59.0)
    assert len(desk.receiver.received) == 1
    desk.later(1.0)
    assert len(desk.receiver.received) == 4


def test_a_receiver_that_answers_again_gets_all_that_waits(desk: Desk) -> None:
    for _ in range(3):
        desk.put(desk.outbox.alert())
    port = desk.receiver.port
    desk.receiver.close()
    for _ in range(5):
        desk.teller.advance()
        desk.clock.seconds += 60
    first = min(row.next_try_at for row in desk.outbox.rows)
    desk.receiver = Receiver(port=port)
    desk.put(desk.outbox.alert())
    assert desk.clock.seconds < first
    desk.teller.advance()
    desk.teller.advance()
    assert len(desk.receiver.received) == 4
    assert {state for *_, state in desk.outbox.states} == {"delivered"}


def test_a_refusal_for_good_is_not_tried_again_and_stays_in_the_log(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    desk.receiver.answer(404, said=b"no_service")
    desk.teller.advance()
    desk.later(10_000.0)
    [row] = desk.outbox.rows
    assert (row.state, row.status_code, row.error) == ("failed", 404, "answered 404: no_service")
    assert len(desk.receiver.received) == 1
    assert desk.observed == ["failed"]


def test_after_a_day_a_message_is_given_up(desk: Desk) -> None:
    desk.put(desk.outbox.alert())
    desk.receiver.answer(503)
    desk.later(GIVE_UP_SECONDS + 1)
    assert desk.outbox.rows[0].state == "failed"


def test_a_crash_between_sending_and_noting_sends_again_with_the_same_fingerprint(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(desk.outbox.alert())
    with monkeypatch.context() as broken:
        broken.setattr(database, "write", full_disk)
        with pytest.raises(StorageError):
            desk.teller.advance()
    desk.new_teller(database).advance()
    first, second = desk.receiver.received
    assert first.json["alerts"][0]["fingerprint"] == second.json["alerts"][0]["fingerprint"]
    assert [state for *_, state in desk.outbox.states] == ["delivered"]


def test_while_the_disk_is_full_a_message_is_not_sent_every_round(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(desk.outbox.alert())
    with monkeypatch.context() as broken:
        broken.setattr(database, "write", full_disk)
        for _ in range(3):
            with pytest.raises(StorageError):
                desk.teller.advance()
    desk.teller.advance()
    assert len(desk.receiver.received) == 1
    assert [state for *_, state in desk.outbox.states] == ["delivered"]


@contextmanager
def full_disk() -> Iterator[Session]:
    raise StorageError("no space left")
    yield


def test_alertmanager_is_told_again_until_the_end(database: Database) -> None:
    desk = Desk(database, type="alertmanager")
    alert, other = desk.outbox.alert(), desk.outbox.alert(kind="frozen")
    desk.put(alert)
    desk.put(other)
    desk.teller.advance()
    sent = len(desk.receiver.received)
    desk.later(59.0)
    assert len(desk.receiver.received) == sent
    desk.later(1.0)
    repeated = desk.receiver.received[-1].json
    assert {one["labels"]["kind"] for one in repeated} == {"regime_shift", "frozen"}
    assert repeated[0]["endsAt"] == "2027-01-15T08:06:00.000Z"
    desk.put(alert, "resolved")
    desk.later(60.0)
    *_, ended, repeated_again = (json.loads(got.body) for got in desk.receiver.received)
    assert ended[0]["endsAt"] == "2027-01-15T08:01:00.000Z"
    assert [one["labels"]["kind"] for one in repeated_again] == ["frozen"]
    assert all(got.path == "/api/v2/alerts" for got in desk.receiver.received)
    assert len(desk.outbox.rows) == 3, "repeats are not in the log"
    desk.receiver.close()


def test_of_two_who_could_tell_the_one_that_leads_does(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying_module, "FOLLOW_SECONDS", 0.05)
    outbox, receiver, leader = Outbox(database), Receiver(), ["first"]
    file = channels_file(tmp_path, ops=receiver)
    first = notifying(database, file, lambda: leader == ["first"])
    second = notifying(database, file, lambda: leader == ["second"])
    with first, second:
        outbox.put(outbox.alert(), "ops")
        wait_for(lambda: delivered(outbox) == 1, "the first to have told")
        leader[0] = "second"
        outbox.put(outbox.alert(), "ops")
        wait_for(lambda: delivered(outbox) == 2, "the second to have told")
        assert len(receiver.received) == 2
        leader[0] = "nobody"
    receiver.close()


def delivered(outbox: Outbox) -> int:
    """Messages that are noted as told: only then would no other leader tell them again."""
    return [state for *_, state in outbox.states].count("delivered")


def test_a_channel_that_hangs_holds_up_no_other(database: Database, tmp_path: Path) -> None:
    outbox, hanging, quick = Outbox(database), Receiver(), Receiver()
    hanging.hold.clear()
    with notifying(database, channels_file(tmp_path, slow=hanging, fast=quick)) as notifier:
        for _ in range(3):
            outbox.put(outbox.alert(), "slow", "fast")
        notifier.wake()
        quick.wait_for(3)
        assert len(hanging.wait_for(1)) == 1
        hanging.hold.set()
        hanging.wait_for(3)
    hanging.close()
    quick.close()


def test_a_channel_that_is_added_while_the_server_runs_is_used(
    database: Database, tmp_path: Path
) -> None:
    outbox, first, second = Outbox(database), Receiver(), Receiver()
    with notifying(database, channels_file(tmp_path, first=first)) as notifier:
        outbox.put(outbox.alert(), "first")
        notifier.wake()
        first.wait_for(1)
        channels_file(tmp_path, first=first, second=second)
        wait_for(lambda: len(notifier.channels) == 2, "the second channel")
        outbox.put(outbox.alert(), "second")
        second.wait_for(1)
    first.close()
    second.close()


def test_a_start_tries_at_once_what_waits(database: Database, tmp_path: Path) -> None:
    outbox, receiver = Outbox(database), Receiver()
    outbox.put(outbox.alert(), "ops")
    with database.write() as session:
        mark_failed(
            session,
            outbox.rows[0].id,
            error="down",
            status_code=None,
            next_try_at=time.time() + 900.0,
        )
    with notifying(database, channels_file(tmp_path, ops=receiver)):
        receiver.wait_for(1)
    receiver.close()


def test_without_channels_what_waits_is_given_up(database: Database, tmp_path: Path) -> None:
    outbox = Outbox(database)
    outbox.put(outbox.alert(), "gone")
    with notifying(database, channels_file(tmp_path)):
        assert outbox.states == [("gone", "raised", "failed")]
