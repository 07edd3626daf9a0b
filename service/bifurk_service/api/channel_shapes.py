"""The shapes of what is said of channels and of messages to them."""

from __future__ import annotations

from pydantic import Field

from bifurk_service.api.schemas import Shape


class DeliveryAnswer(Shape):
    """One message about an alert through one channel."""

    id: int
    alert_id: int
    channel: str
    reason: str = Field(description="raised, graver, resolved or superseded.")
    state: str = Field(description="waiting, delivered or failed.")
    tries: int
    next_try_at: float = Field(description="Of what waits; seconds since 1970 UTC.")
    created_at: float
    delivered_at: float | None
    status_code: int | None = Field(description="What the last try was answered.")
    error: str | None = Field(description="Why the last try did not arrive.")


class ChannelAnswer(Shape):
    """A channel of the alerts file; its address and secret are not told."""

    name: str
    type: str = Field(description="webhook, slack or alertmanager.")
    waiting: int = Field(description="Messages that wait to be delivered.")
    last: DeliveryAnswer | None = Field(description="The newest message that was tried.")


class ChannelTestAnswer(Shape):
    """What became of a test message."""

    channel: str
    delivered: bool
    status_code: int | None
    error: str | None
