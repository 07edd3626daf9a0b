"""The two PUT endpoints that clients use."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from bifurk.wire import WireError, WireLimits, check_slug, decode_attempt
from bifurk_service.access import check_project, require
from bifurk_service.errors import InvalidError
from bifurk_service.ingest.answers import Answers
from bifurk_service.ingest.bodies import read_in_time
from bifurk_service.ingest.receive import PartAddress, Receiver, checked_digest
from bifurk_service.services import Services, services
from bifurk_service.store.runs import apply_attempt_report, ensure_attempt
from bifurk_service.store.tokens import Grant
from bifurk_service.store.writers import WRITER_HEADER, claim

router = APIRouter(
    prefix="/api/v1/projects/{project}/runs/{run}/attempts/{attempt}", tags=["ingest"]
)


Writer = Annotated[Grant, Depends(require("write"))]
WriterName = Annotated[
    str | None,
    Header(
        alias=WRITER_HEADER,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The same of all processes of one job, and of no others: an attempt belongs to "
        "the first that is heard of, and is refused (409) to any other.",
    ),
]


@router.put(
    "/snapshots/{step}/parts/{rank}",
    responses={200: {"description": "It was there"}, 201: {"description": "It was stored"}},
)
async def put_part(  # noqa: PLR0913 - one argument a place in the path, and the headers
    *,
    project: str,
    run: str,
    attempt: str,
    step: int,
    rank: int,
    request: Request,
    response: Response,
    grant: Writer,
    writer: WriterName = None,
) -> dict[str, Any]:
    """Stores one part of a snapshot. 201 when stored now, 200 when it was there already.

    `directives` are what alerts ask the client for, `alerts` the newest ones of the attempt; see
    the wire format.
    """
    check_project(grant, project)
    receiver: Receiver = request.app.state.receiver
    address = PartAddress(
        project=project, run=run, attempt=attempt, step=step, rank=rank, writer=writer
    )
    _check_slugs(project=project, run=run, attempt=attempt)
    with receiver.slot():
        body = await read_in_time(request, grant, services(request).settings.max_part_bytes)
        received = await run_in_threadpool(
            receiver.receive,
            body,
            address,
            encoding=request.headers.get("content-encoding", "identity"),
            content_digest=request.headers.get("content-digest"),
        )
    response.status_code = HTTPStatus.CREATED if received.created else HTTPStatus.OK
    return {"created": received.created, **received.told}


@router.put("")
async def put_attempt(
    *,
    project: str,
    run: str,
    attempt: str,
    request: Request,
    grant: Writer,
    writer: WriterName = None,
) -> dict[str, Any]:
    """Takes the state of an attempt: at its start, every minute, and at its end.

    `directives` and `alerts` as for a part.
    """
    check_project(grant, project)
    _check_slugs(project=project, run=run, attempt=attempt)
    body = await read_in_time(request, grant, WireLimits().attempt_bytes)
    if "content-digest" in request.headers:
        checked_digest(body, request.headers["content-digest"])
    answers: Answers = request.app.state.answers
    address = {"project": project, "run": run, "attempt": attempt}
    return await run_in_threadpool(_report, services(request), answers, address, writer, body)


def _report(
    house: Services, answers: Answers, address: dict[str, str], writer: str | None, body: bytes
) -> dict[str, Any]:
    try:
        report = decode_attempt(body)
    except WireError as error:
        raise InvalidError(error.problem, where=error.where) from error
    now = time.time()
    with house.database.write() as session:
        stored = ensure_attempt(session, **address, now=now)
        claim(session, stored, writer)
        apply_attempt_report(session, stored, report, now=now)
        answer = {"state": stored.state, **answers.about(session, stored)}
    house.pipeline.wake()
    return answer


def _check_slugs(**slugs: str) -> None:
    for name, slug in slugs.items():
        try:
            check_slug(slug, name)
        except ValueError as error:
            raise InvalidError(str(error), where=name) from None
