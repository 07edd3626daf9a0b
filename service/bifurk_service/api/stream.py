"""Server-sent events: what happens to runs, as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import OfRun
from bifurk_service.services import Services, services
from bifurk_service.store.events import events_after, last_event_id
from bifurk_service.store.models import Event
from bifurk_service.store.tokens import Grant

POLL_SECONDS = 0.5
"""Events are read from the database, so that every replica streams what any of them stored."""
EVENTS_A_ROUND = 500
PING_SECONDS = 15
DIGITS = 18
"""Of an event's id that are read; it stays within an integer column."""


class Listeners:
    """How many listen to this process, counted in the one thread of its event loop."""

    def __init__(self) -> None:
        self.count = 0

    async def counted(
        self, events: AsyncIterator[ServerSentEvent]
    ) -> AsyncIterator[ServerSentEvent]:
        """The same events; who takes them is counted until they end or the client is gone."""
        self.count += 1
        try:
            async for event in events:
                yield event
        finally:
            self.count -= 1


router = APIRouter(prefix="/api/v1", tags=["stream"])


@router.get("/stream")
async def get_stream(
    request: Request,
    grant: Reader,
    run: OfRun = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> EventSourceResponse:
    """Events `snapshot`, `alert`, `attempt`; goes on after `Last-Event-ID` if that is sent."""
    house = services(request)
    after = await run_in_threadpool(_start, house, grant, run, last_event_id_header)
    listeners: Listeners = request.app.state.listeners
    return EventSourceResponse(
        listeners.counted(_events(house, grant, run, after)), ping=PING_SECONDS
    )


def _start(house: Services, grant: Grant, run: int | None, header: str | None) -> int:
    with house.database.read() as session:
        if run is not None:
            visible_run(session, run, grant)
        newest = last_event_id(session)
        if header is not None and header.isascii() and header.isdigit():
            # An id beyond the newest is of another database; waiting for it would miss all before.
            return min(int(header[:DIGITS]), newest)
        return newest


async def _events(
    house: Services, grant: Grant, run: int | None, after: int
) -> AsyncIterator[ServerSentEvent]:
    while True:
        events = await run_in_threadpool(_read, house, grant, run, after)
        for event in events:
            after = event.id
            data = {"run": event.run_id, **event.data}
            yield ServerSentEvent(id=str(event.id), event=event.kind, data=json.dumps(data))
        if not events:
            await asyncio.sleep(POLL_SECONDS)


def _read(house: Services, grant: Grant, run: int | None, after: int) -> list[Event]:
    with house.database.read() as session:
        return events_after(session, after, run_id=run, project=grant.project, limit=EVENTS_A_ROUND)
