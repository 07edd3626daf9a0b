"""The bodies that each type of channel is sent."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from bifurk_service.domain import Severity
from bifurk_service.notify.notice import Notice, rfc3339

MOST_TENSORS: Final = 5
"""Named in a message; the rest is counted."""
SIGNATURE_HEADER: Final = "X-Bifurk-Signature"
NEVER: Final = "0001-01-01T00:00:00Z"
"""The end of what has not ended, as Alertmanager's webhooks write it."""
REPEATS_MISSED: Final = 5
"""Alertmanager takes an alert for ended after so many repeats that did not come."""


def webhook_body(notice: Notice, *, channel: str, public_url: str) -> bytes:
    """Version 4 of Alertmanager's webhook payload, a group of one alert.

    https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    """
    labels, annotations = labels_of(notice), annotations_of(notice)
    group = {name: labels[name] for name in ("alertname", "project", "run")}
    matchers = ", ".join(f"{name}={json.dumps(value)}" for name, value in group.items())
    return _json(
        {
            "version": "4",
            "groupKey": f"{{}}:{{{matchers}}}",
            "truncatedAlerts": 0,
            "status": notice.status,
            "receiver": channel,
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": public_url,
            "alerts": [
                {
                    "status": notice.status,
                    "labels": labels,
                    "annotations": annotations,
                    "startsAt": rfc3339(notice.starts_at),
                    "endsAt": NEVER if notice.ends_at is None else rfc3339(notice.ends_at),
                    "generatorURL": notice.url,
                    "fingerprint": notice.identity,
                }
            ],
        }
    )


def alertmanager_body(notices: Sequence[Notice], *, now: float, repeat_seconds: float) -> bytes:
    """The list that ``POST /api/v2/alerts`` of an Alertmanager takes.

    What fires ends by itself when the repeats stop coming. Severity is a label, so a graver alert
    is another one to Alertmanager: the slighter is ended in the same message.

    https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
    """
    expected_end = now + REPEATS_MISSED * repeat_seconds
    alerts: list[dict[str, Any]] = []
    for notice in notices:
        end = expected_end if notice.ends_at is None else notice.ends_at
        alerts.append(_alert(notice, ends_at=end))
        if notice.graver:
            alerts += [_alert(slighter, ends_at=now) for slighter in _slighter(notice)]
    return _json(alerts)


def slack_body(notice: Notice) -> bytes:
    """An incoming webhook's message; what names and sentences hold cannot be markup.

    https://docs.slack.dev/messaging/formatting-message-text
    """
    head = "Resolved" if notice.status == "resolved" else notice.severity.value.capitalize()
    lines = [
        f"*{head}: {_escaped(notice.kind)}* in {_escaped(notice.project)}/{_escaped(notice.run)}",
        _escaped(notice.sentence),
        (
            f"Began between steps {notice.onset_first_step:,} and {notice.onset_last_step:,}, "
            f"seen at step {notice.detected_step:,}."
        ),
    ]
    if notice.tensors:
        lines.append(f"Tensors: {_escaped(_tensors(notice))}")
    if notice.superseded:
        lines.append("A later attempt went over these steps again.")
    if notice.url:
        lines.append(f"<{_escaped(notice.url)}|Look at the alert>")
    return _json({"text": "\n".join(lines)})


def labels_of(notice: Notice) -> dict[str, str]:
    """What an alert is known by: never a step or a free text, which would make it another one."""
    return {
        "alertname": f"bifurk_{notice.kind}",
        "project": notice.project,
        "run": notice.run,
        "attempt": notice.attempt,
        "kind": notice.kind,
        "severity": notice.severity.value,
        "fingerprint": notice.identity,
    }


def annotations_of(notice: Notice) -> dict[str, str]:
    """What is said of an alert; empty texts are left out."""
    texts = {
        "summary": notice.sentence,
        "onset": f"between steps {notice.onset_first_step} and {notice.onset_last_step}",
        "detected": f"at step {notice.detected_step}",
        "statistic": notice.statistic,
        "tensors": _tensors(notice),
        "superseded": "a later attempt went over these steps again" if notice.superseded else "",
        "url": notice.url,
    }
    return {name: text for name, text in texts.items() if text}


def signature(secret: str, body: bytes, *, now: float) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 of ``SECONDS.BODY``; the time keeps old ones from use."""
    seconds = int(now)
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"


def _alert(notice: Notice, *, ends_at: float) -> dict[str, Any]:
    alert = {
        "labels": labels_of(notice),
        "annotations": annotations_of(notice),
        "startsAt": rfc3339(notice.starts_at),
        "endsAt": rfc3339(ends_at),
    }
    return {**alert, "generatorURL": notice.url} if notice.url else alert


def _slighter(notice: Notice) -> list[Notice]:
    return [
        replace(notice, severity=severity)
        for severity in Severity
        if severity.rank < notice.severity.rank
    ]


def _tensors(notice: Notice) -> str:
    named = ", ".join(notice.tensors[:MOST_TENSORS])
    more = len(notice.tensors) - MOST_TENSORS
    return f"{named} and {more} more" if more > 0 else named


def _escaped(text: str) -> str:
    """Slack's three control characters; a line break would let a name begin a line of its own."""
    flat = " ".join(text.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
