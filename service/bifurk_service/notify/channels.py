"""Channels as a policy holds them: where they lead and what signs them; secrets are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bifurk_service.errors import SetupError
from bifurk_service.notify.addresses import check_url
from bifurk_service.notify.alerts_file import (
    AlertmanagerSettings,
    SlackSettings,
    WebhookSettings,
    secret_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to tell people.

    Attributes:
        url: where messages go; itself a secret of some receivers, so ``repr`` leaves it out.
        secret: signs messages of a webhook; None: they are not signed.
        timeout_seconds: how long one message may take in all.
        repeat_seconds: an alert is told again so often until it is resolved; None: once.
    """

    name: str
    type: Literal["webhook", "slack", "alertmanager"]
    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0
    repeat_seconds: float | None = None


def channel_of(
    name: str,
    settings: WebhookSettings | SlackSettings | AlertmanagerSettings,
    *,
    path: Path,
    environment: Mapping[str, str],
) -> Channel:
    """A channel with its secrets filled in.

    Raises:
        SetupError: a variable or file that is named holds nothing, or the address is none.
    """
    url = settings.url or secret_text(
        path=path,
        field=f"channels.{name}.url",
        variable=settings.url_env,
        file=settings.url_file,
        environment=environment,
    )
    try:
        check_url(url or "")
    except ValueError as error:
        raise SetupError(f"{path}: channels.{name}.url: {error}") from error
    webhook = settings if isinstance(settings, WebhookSettings) else None
    return Channel(
        name=name,
        type=settings.type,
        url=url or "",
        secret=None
        if webhook is None
        else secret_text(
            path=path,
            field=f"channels.{name}.secret",
            variable=webhook.secret_env,
            file=webhook.secret_file,
            environment=environment,
        ),
        timeout_seconds=settings.timeout_seconds,
        repeat_seconds=settings.repeat_seconds
        if isinstance(settings, AlertmanagerSettings)
        else None,
    )
