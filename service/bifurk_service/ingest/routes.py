"""The two PUT endpoints that clients use."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from bifurk.wire import WireError, WireLimits, check_slug, decode_attempt
from bifurk_service.access import check_project, require
from bifurk_service.errors import InvalidError, RequestTimeoutError, TooLargeError
from bifurk_service.ingest.receive import PartAddress, Receiver
from bifurk_service.services import Services, services
from bifurk_service.store.runs import apply_attempt_report, ensure_attempt
from bifurk_service.store.tokens import Grant

router = APIRouter(
    prefix="/api/v1/projects/{project}/runs/{run}/attempts/{attempt}", tags=["ingest"]
)


Writer = Annotated[Grant, Depends(require("write"))]


@router.put("/snapshots/{step}/parts/{rank}")
async def put_part(
    *,
    project: str,
    run: str,
    attempt: str,
    step: int,
    rank: int,
    request: Request,
    response: Response,
    grant: Writer,
) -> dict[str, bool]:
    """Stores one part of a snapshot. 201 when stored now, 200 when it was there already."""
    check_project(grant, project)
    receiver: Receiver = request.app.state.receiver
    address = PartAddress(project=project, run=run, attempt=attempt, step=step, rank=rank)
    _check_slugs(project=project, run=run, attempt=attempt)
    with receiver.slot():
        body = await _read_in_time(request, services(request).settings.max_part_bytes)
        created = await run_in_threadpool(
            receiver.receive,
            body,
            address,
            encoding=request.headers.get("content-encoding", "identity"),
            content_digest=request.headers.get("content-digest"),
        )
    response.status_code = HTTPStatus.CREATED if created else HTTPStatus.OK
    return {"created": created}


@router.put("")
async def put_attempt(
    *, project: str, run: str, attempt: str, request: Request, grant: Writer
) -> dict[str, str]:
    """Takes the state of an attempt: at its start, every minute, and at its end."""
    check_project(grant, project)
    _check_slugs(project=project, run=run, attempt=attempt)
    body = await _read_in_time(request, WireLimits().attempt_bytes)
    return await run_in_threadpool(_report, services(request), project, run, attempt, body)


def _report(house: Services, project: str, run: str, attempt: str, body: bytes) -> dict[str, str]:
    try:
        report = decode_attempt(body)
    except WireError as error:
        raise InvalidError(error.problem, where=error.where) from error
    now = time.time()
    with house.database.write() as session:
        stored = ensure_attempt(session, project=project, run=run, attempt=attempt, now=now)
        apply_attempt_report(session, stored, report, now=now)
        state = stored.state
    house.pipeline.wake()
    return {"state": state}


def _check_slugs(**slugs: str) -> None:
    for name, slug in slugs.items():
        try:
            check_slug(slug, name)
        except ValueError as error:
            raise InvalidError(str(error), where=name) from None


async def _read_in_time(request: Request, limit: int) -> bytes:
    """The body as sent; who sends it too slowly must not keep a slot from everybody else."""
    seconds = services(request).settings.upload_timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, limit)
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"the body did not arrive within {seconds:g} s; send it again", where="body"
        ) from error


async def _read(request: Request, limit: int) -> bytes:
    """The body as sent, refused as soon as it passes the limit."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise TooLargeError(f"at most {limit} bytes, {announced} announced", where="body")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"at most {limit} bytes, more came", where="body")
    return bytes(body)
