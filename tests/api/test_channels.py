"""Channels and deliveries over REST: the log of what was told, without addresses."""

from __future__ import annotations

import pytest

from tests.api.conftest import CHANNEL, Guarded
from tests.server import wait_for


@pytest.fixture(scope="module")
def told(guarded: Guarded) -> int:
    """An alert whose message could not be sent, because its channel leads where nothing may go."""
    reader = guarded.callers["read"]
    alert = guarded.filled.alert
    wait_for(
        lambda: any(
            one["tries"] for one in reader.get(f"/api/v1/deliveries?alert={alert}")["items"]
        ),
        "a try",
    )
    return alert


def test_a_delivery_says_what_was_to_be_told_and_why_it_waits(guarded: Guarded, told: int) -> None:
    # Other tests may have ended the alert meanwhile; that message stands behind this one.
    delivery, *_ = guarded.callers["read"].get(f"/api/v1/deliveries?alert={told}")["items"]
    assert (delivery["channel"], delivery["reason"]) == (CHANNEL, "raised")
    assert (delivery["state"], delivery["status_code"]) == ("waiting", None)
    assert "not public" in delivery["error"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"channel={CHANNEL}&state=waiting&state=failed", True),
        ("channel=other", False),
        ("state=delivered", False),
    ],
)
def test_deliveries_are_filtered(guarded: Guarded, told: int, query: str, found: bool) -> None:
    items = guarded.callers["read"].get(f"/api/v1/deliveries?alert={told}&{query}")["items"]
    assert bool(items) is found


def test_deliveries_come_in_pages(guarded: Guarded, told: int) -> None:
    reader = guarded.callers["read"]
    whole = [one["id"] for one in reader.get("/api/v1/deliveries")["items"]]
    page = reader.get("/api/v1/deliveries?limit=1")
    assert [one["id"] for one in page["items"]] == whole[:1]
    rest = reader.get(f"/api/v1/deliveries?cursor={page['next_cursor']}")["items"]
    assert [one["id"] for one in rest] == whole[1:]
    assert told


def test_a_token_of_another_project_sees_no_delivery(guarded: Guarded, told: int) -> None:
    elsewhere = guarded.callers["elsewhere"]
    own = {alert["id"] for alert in elsewhere.get("/api/v1/alerts")["items"]}
    seen = {delivery["alert_id"] for delivery in elsewhere.get("/api/v1/deliveries")["items"]}
    assert seen <= own - {told}
    status, _ = elsewhere.request("GET", f"/api/v1/deliveries?alert={told}")
    assert status == 404


def test_channels_are_told_without_their_addresses(guarded: Guarded, told: int) -> None:
    answer = guarded.callers["read"].get("/api/v1/channels")
    [channel] = answer["items"]
    assert (channel["name"], channel["type"]) == (CHANNEL, "webhook")
    assert channel["waiting"] >= 1
    assert channel["last"]["channel"] == CHANNEL
    assert "secret-path" not in str(answer)
    assert told


def test_a_test_message_says_what_became_of_it(guarded: Guarded) -> None:
    admin = guarded.callers["admin"]
    status, answer = admin.request("POST", f"/api/v1/channels/{CHANNEL}/test")
    assert status == 200
    assert (answer["delivered"], answer["status_code"]) == (False, None)
    assert "BIFURK_NOTIFY_PRIVATE_ADDRESSES" in answer["error"]
    status, problem = admin.request("POST", "/api/v1/channels/nobody/test")
    assert status == 404
    assert "GET /api/v1/channels" in problem["detail"]
