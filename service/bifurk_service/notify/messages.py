"""Messages as they go out through a channel: body, headers, signature."""

from __future__ import annotations

from collections.abc import Sequence

from bifurk_service.notify.channels import Channel
from bifurk_service.notify.notice import Notice
from bifurk_service.notify.payloads import (
    SIGNATURE_HEADER,
    alertmanager_body,
    signature,
    slack_body,
    webhook_body,
)
from bifurk_service.notify.sending import Outcome, Sender

ALERTMANAGER_PATH = "/api/v2/alerts"


def send(
    sender: Sender, channel: Channel, notice: Notice, *, now: float, public_url: str
) -> Outcome:
    """Tells one channel of one alert."""
    if channel.type == "alertmanager":
        return send_standing(sender, channel, [notice], now=now)
    if channel.type == "slack":
        return _post(sender, channel, channel.url, slack_body(notice), now=now)
    body = webhook_body(notice, channel=channel.name, public_url=public_url)
    return _post(sender, channel, channel.url, body, now=now)


def send_standing(
    sender: Sender, channel: Channel, notices: Sequence[Notice], *, now: float
) -> Outcome:
    """Tells an Alertmanager of alerts, all in one message."""
    assert channel.repeat_seconds is not None
    body = alertmanager_body(notices, now=now, repeat_seconds=channel.repeat_seconds)
    url = channel.url.rstrip("/")
    if not url.endswith(ALERTMANAGER_PATH):
        url += ALERTMANAGER_PATH
    return _post(sender, channel, url, body, now=now)


def _post(sender: Sender, channel: Channel, url: str, body: bytes, *, now: float) -> Outcome:
    signed = (
        {}
        if channel.secret is None
        else {SIGNATURE_HEADER: signature(channel.secret, body, now=now)}
    )
    return sender.post(url, body, signed, timeout_seconds=channel.timeout_seconds)
