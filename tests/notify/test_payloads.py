"""Payloads have the documented shapes; names and sentences stay data."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.domain import Severity
from bifurk_service.notify.payloads import (
    NEVER,
    alertmanager_body,
    signature,
    slack_body,
    webhook_body,
)
from tests.notify.alerts import notice

DOCS = Path(__file__).parents[2] / "docs/channels.md"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def webhook(**changed: Any) -> Any:
    body = webhook_body(notice(**changed), channel="ops", public_url="https://bifurk.example.org")
    return json.loads(body)


def test_a_webhook_has_every_field_of_version_4() -> None:
    sent = webhook()
    assert set(sent) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels",
        "commonLabels", "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert (sent["version"], sent["truncatedAlerts"], sent["receiver"]) == ("4", 0, "ops")
    [alert] = sent["alerts"]
    assert set(alert) == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
    }  # fmt: skip
    assert alert["labels"] == sent["commonLabels"]
    assert sent["groupLabels"].items() <= sent["commonLabels"].items()
    assert TIME.fullmatch(alert["startsAt"])
    assert alert["endsAt"] == NEVER
    assert alert["generatorURL"].startswith("https://bifurk.example.org/")


def test_a_resolved_alert_ends_and_keeps_its_fingerprint() -> None:
    firing, resolved = webhook(), webhook(status="resolved", ends_at=1_800_000_100.0)
    assert resolved["status"] == resolved["alerts"][0]["status"] == "resolved"
    assert resolved["alerts"][0]["endsAt"] == "2027-01-15T08:01:40.000Z"
    assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]


def test_the_fingerprint_stays_when_severity_and_words_change_and_not_between_runs() -> None:
    one = notice()
    assert one.identity == replace(one, severity=Severity.CRITICAL, sentence="x").identity
    others = {replace(one, **{name: "other"}).identity for name in ("project", "run", "attempt")}
    assert len(others | {one.identity}) == 4


def test_labels_hold_neither_steps_nor_free_text() -> None:
    before, after = (
        webhook(),
        webhook(sentence="grown", detected_step=2000, onset_first_step=5, tensors=("a", "b")),
    )
    assert before["commonLabels"] == after["commonLabels"]
    assert before["commonAnnotations"] != after["commonAnnotations"]


def test_alertmanager_is_told_an_end_that_comes_by_itself() -> None:
    [alert] = json.loads(alertmanager_body([notice()], now=1_800_000_000.0, repeat_seconds=60))
    assert alert["endsAt"] == "2027-01-15T08:05:00.000Z"
    assert alert["labels"]["alertname"] == "bifurk_regime_shift"
    assert alert["annotations"]["summary"] == notice().sentence


def test_alertmanager_is_told_that_the_slighter_alert_has_ended_when_it_is_graver() -> None:
    sent = json.loads(
        alertmanager_body(
            [notice(severity=Severity.CRITICAL, graver=True)],
            now=1_800_000_000.0,
            repeat_seconds=60,
        )
    )
    ends = {alert["labels"]["severity"]: alert["endsAt"] for alert in sent}
    assert ends.pop("critical") > "2027-01-15T08:00:00.000Z"
    assert ends == dict.fromkeys(("info", "warning"), "2027-01-15T08:00:00.000Z")


def test_without_a_public_address_no_link_is_sent() -> None:
    [alert] = json.loads(alertmanager_body([notice(url="")], now=0.0, repeat_seconds=60))
    assert "generatorURL" not in alert
    assert "url" not in alert["annotations"]
    assert "<" not in json.loads(slack_body(notice(url="")))["text"]


def test_slack_gets_text_in_which_names_are_no_markup() -> None:
    hostile = "a <!channel> & <https://evil.example|here>\n*Critical: fake*"
    text = json.loads(slack_body(notice(tensors=(hostile,), sentence=hostile)))["text"]
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|here&gt;" in text
    assert not any(line.startswith("*Critical") for line in text.splitlines())
    assert text.splitlines()[-1].startswith("<https://bifurk.example.org/alerts/7|")


def test_only_a_few_tensors_are_named() -> None:
    text = json.loads(slack_body(notice(tensors=tuple("abcdefg"))))["text"]
    assert "Tensors: a, b, c, d, e and 2 more" in text


def test_a_signature_is_of_time_and_body() -> None:
    sent = signature("key", b"{}", now=1_800_000_000.7)
    expected = hmac.new(b"key", b"1800000000.{}", hashlib.sha256).hexdigest()
    assert sent == f"t=1800000000,v1={expected}"


def documented_check() -> Any:
    """The function that the page gives to receivers."""
    _, _, after = DOCS.read_text().partition("```python\n")
    names: dict[str, Any] = {}
    exec(after.partition("```")[0], names)
    return names["is_genuine"]


@pytest.mark.parametrize(
    ("now", "body", "key", "genuine"),
    [
        (1_800_000_010, b"{}", "key", True),
        (1_800_000_301, b"{}", "key", False),
        (1_799_999_000, b"{}", "key", False),
        (1_800_000_010, b"{ }", "key", False),
        (1_800_000_010, b"{}", "other", False),
    ],
)
def test_the_documented_check_takes_what_is_genuine_and_fresh(
    now: int, body: bytes, key: str, genuine: bool
) -> None:
    header = signature("key", b"{}", now=1_800_000_000)
    assert documented_check()(header, body, key, now=now) is genuine


@pytest.mark.parametrize("header", ["", "t=,v1=", "v1=00", "t=x,v1=y", "nonsense"])
def test_the_documented_check_refuses_what_is_no_signature(header: str) -> None:
    assert documented_check()(header, b"{}", "key", now=0) is False
