"""From a run that goes wrong to people: a real server, a real Alertmanager, a real receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.filling import SNAPSHOTS, Caller, broken_part
from tests.deploy.alertmanager import Alertmanager
from tests.notify.receiver import Receiver
from tests.ports import own_port
from tests.server import Server, wait_for


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver(port=own_port())
    yield found
    found.close()


@pytest.fixture
def start(start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Caller]:
    """Starts a server on the same data with these channels."""

    def started(**urls: str) -> Caller:
        file = tmp_path / "alerts.yaml"
        lines = [f"  {kind}: {{type: {kind}, url: '{url}'}}" for kind, url in urls.items()]
        file.write_text("\n".join(["channels:", *lines]))
        server = start_server(
            tmp_path / "data",
            BIFURK_ALERTS_FILE=str(file),
            BIFURK_NOTIFY_PRIVATE_ADDRESSES="true",
            BIFURK_PUBLIC_URL="https://bifurk.example.org/",
        )
        return Caller(server)

    return started


def go_wrong(caller: Caller) -> dict[str, Any]:
    """Posts a run whose bias breaks; its alert."""
    for sequence in range(SNAPSHOTS):
        caller.post_part(broken_part(sequence))
    run = caller.run_id("tests", "run")
    caller.wait_until_judged(run, SNAPSHOTS)
    [alert] = caller.get(f"/api/v1/alerts?run={run}&kind=non_finite")["items"]
    return dict(alert)


def resolve(caller: Caller, alert: dict[str, Any]) -> None:
    status, answer = caller.request("POST", f"/api/v1/alerts/{alert['id']}/resolve")
    assert status == 200, answer


def states(caller: Caller) -> list[str]:
    return [one["state"] for one in caller.get("/api/v1/deliveries")["items"]]


def told(receiver: Receiver) -> list[tuple[str, str, str]]:
    """Fingerprint, kind and status of every message that a webhook got."""
    return [
        (alert["fingerprint"], alert["labels"]["kind"], alert["status"])
        for got in receiver.received
        for alert in got.json["alerts"]
    ]


def test_an_alert_and_its_end_reach_a_webhook_and_people_behind_an_alertmanager(
    start: Callable[..., Caller], receiver: Receiver, tmp_path: Path
) -> None:
    people = Receiver()
    alertmanager = Alertmanager(tmp_path / "alertmanager", webhook=people.url)
    caller = start(webhook=receiver.url, alertmanager=alertmanager.url)
    alert = go_wrong(caller)

    [direct] = receiver.wait_for(1)
    assert direct.json["alerts"][0]["annotations"]["summary"] == alert["sentence"]
    link = f"https://bifurk.example.org/alerts/{alert['id']}"
    assert direct.json["alerts"][0]["generatorURL"] == link
    [passed_on] = people.wait_for(1)
    assert passed_on.json["commonAnnotations"]["summary"] == alert["sentence"]
    [firing] = alertmanager.alerts
    assert firing["labels"]["severity"] == "critical"
    assert firing["labels"]["fingerprint"] == direct.json["alerts"][0]["fingerprint"]

    resolve(caller, alert)
    receiver.wait_for(2)
    wait_for(lambda: any(s == "resolved" for *_, s in told(people)), "the end, passed on")
    assert [status for *_, status in told(receiver)] == ["firing", "resolved"]
    wait_for(lambda: states(caller) == ["delivered"] * 4, "all noted")
    channels = caller.get("/api/v1/channels")["items"]
    assert [(one["name"], one["waiting"]) for one in channels] == [
        ("webhook", 0),
        ("alertmanager", 0),
    ]
    counted = 'bifurk_notifications_total{channel="webhook",outcome="delivered"} 2.0'
    wait_for(lambda: counted in caller.get("/metrics"), "all counted")
    assert receiver.url not in str(channels)
    alertmanager.stop()
    people.close()


def test_with_the_server_killed_while_it_sends_and_then_the_receiver_down_nothing_is_lost(
    start: Callable[..., Caller], receiver: Receiver
) -> None:
    receiver.hold.clear()
    caller = start(webhook=receiver.url)
    alert = go_wrong(caller)
    receiver.wait_for(1)
    caller.server.kill()
    receiver.close()

    caller = start(webhook=receiver.url)
    wait_for(
        lambda: any(one["tries"] for one in caller.get("/api/v1/deliveries")["items"]), "a try"
    )
    resolve(caller, alert)
    assert states(caller) == ["waiting", "waiting"]
    assert 'bifurk_notifications_waiting{channel="webhook"} 2.0' in caller.get("/metrics")

    again = Receiver(port=receiver.port)
    wait_for(lambda: states(caller) == ["delivered"] * 2, "both noted")
    before, after = told(receiver), told(again)
    assert [status for *_, status in after] == ["firing", "resolved"], "each once, and in order"
    assert before == after[:1], "what was sent when the server died comes again as it was"
    assert len({fingerprint for fingerprint, *_ in after}) == 1
    again.close()
