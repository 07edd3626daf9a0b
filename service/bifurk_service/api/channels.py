"""Channels: which there are, how they do, and a test of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from bifurk_service.access import note_act, require
from bifurk_service.api.channel_shapes import ChannelAnswer, ChannelTestAnswer, DeliveryAnswer
from bifurk_service.api.parameters import Text
from bifurk_service.api.schemas import Page
from bifurk_service.services import services
from bifurk_service.store.audit import Action
from bifurk_service.store.deliveries import last_tried, waiting_counts
from bifurk_service.store.tokens import Grant

router = APIRouter(prefix="/api/v1/channels", tags=["alerts"])


@router.get("")
def get_channels(
    request: Request, _grant: Annotated[Grant, Depends(require("read", every_project=True))]
) -> Page[ChannelAnswer]:
    """The channels of the alerts file, in its order."""
    house = services(request)
    with house.database.read() as session:
        waiting = waiting_counts(session)
        items = []
        for channel in house.notifier.channels:
            last = last_tried(session, channel.name)
            items.append(
                ChannelAnswer(
                    name=channel.name,
                    type=channel.type,
                    waiting=waiting.get(channel.name, 0),
                    last=None if last is None else DeliveryAnswer.model_validate(last),
                )
            )
    return Page(items=items)


@router.post("/{channel}/test")
def try_channel(
    request: Request,
    grant: Annotated[Grant, Depends(require("admin", every_project=True))],
    channel: Annotated[Text, Path(max_length=64, description="A channel's name.")],
) -> ChannelTestAnswer:
    """Sends a test message now, and says what became of it; nothing is tried again."""
    house = services(request)
    outcome = house.notifier.test(channel)
    said = "delivered" if outcome.delivered else "not delivered"
    with house.database.write() as session:
        note_act(request, session, grant, Action.CHANNEL_TESTED, f"channel {channel}", said)
    return ChannelTestAnswer(
        channel=channel,
        delivered=outcome.delivered,
        status_code=outcome.status_code,
        error=outcome.error,
    )
