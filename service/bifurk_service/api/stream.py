"""Server-sent events: what happens to runs, as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from bifurk_service.api.grants import Reader, visible_run
from bifurk_service.api.parameters import OfRun
from bifurk_service.domain import LARGEST
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


After: TypeAlias = Annotated[
    int | None,
    Query(ge=0, le=LARGEST, description="Id of an event, where no `Last-Event-ID` is sent."),
]
router = APIRouter(prefix="/api/v1", tags=["stream"])


@router.get("/stream")
async def get_stream(
    request: Request,
    grant: Reader,
    run: OfRun = None,
    after: After = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> EventSourceResponse:
    """Events `snapshot`, `alert`, `attempt`; goes on after `Last-Event-ID`, or `after`, if sent."""
    house, known = services(request), _seen_last(last_event_id_header, after)
    begin = await run_in_threadpool(_begin, house, grant, run, known)
    listeners: Listeners = request.app.state.listeners
    return EventSourceResponse(
        listeners.counted(_events(house, grant, run, begin)), ping=PING_SECONDS
    )


def _seen_last(header: str | None, after: int | None) -> int | None:
    """The event that the reader knows; the header tells of later ones than the address."""
    if header is not None and header.isascii() and header.isdigit():
        return int(header[:DIGITS])
    return after


def _begin(house: Services, grant: Grant, run: int | None, known: int | None) -> int:
    with house.database.read() as session:
        if run is not None:
            visible_run(session, run, grant)
        newest = last_event_id(session)
        # An id beyond the newest is of another database; waiting for it would miss all before.
        return newest if known is None else min(known, newest)


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
