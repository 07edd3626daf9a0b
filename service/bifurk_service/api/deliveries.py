"""The log of messages about alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from bifurk_service.access import check_project
from bifurk_service.api.channel_shapes import DeliveryAnswer
from bifurk_service.api.grants import Reader
from bifurk_service.api.pagination import Cursor, Limit, decode_cursor, next_cursor
from bifurk_service.api.parameters import Text
from bifurk_service.api.schemas import Page
from bifurk_service.domain import LARGEST
from bifurk_service.services import services
from bifurk_service.store.alerts import get_alert
from bifurk_service.store.deliveries import DeliveryFilter, deliveries_of
from bifurk_service.store.run_lists import run_summary

router = APIRouter(prefix="/api/v1/deliveries", tags=["alerts"])


@router.get("")
def get_deliveries(
    request: Request,
    grant: Reader,
    *,
    alert: Annotated[int | None, Query(ge=1, le=LARGEST, description="An alert's id.")] = None,
    channel: Annotated[Text | None, Query(max_length=64)] = None,
    state: Annotated[list[Literal["waiting", "delivered", "failed"]], Query()] = [],  # noqa: B006 - FastAPI's form of a repeated parameter
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeliveryAnswer]:
    """Messages to channels in the order they were written: what was told, waits, was given up."""
    with services(request).database.read() as session:
        if alert is not None:
            run_id = get_alert(session, alert).run_id
            check_project(grant, run_summary(session, run_id).project)
        found = deliveries_of(
            session,
            DeliveryFilter(
                alert_id=alert, project=grant.project, channel=channel, states=tuple(state)
            ),
            after_id=decode_cursor(cursor),
            limit=limit,
        )
    return Page(
        items=[DeliveryAnswer.model_validate(delivery) for delivery in found],
        next_cursor=next_cursor([delivery.id for delivery in found], limit),
    )
