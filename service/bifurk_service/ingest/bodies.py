"""Bodies of requests as they come: within a size and a time."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from bifurk_service.access import note_upload
from bifurk_service.errors import CutOffError, RequestTimeoutError, TooLargeError
from bifurk_service.services import services
from bifurk_service.store.tokens import Grant


async def read_in_time(request: Request, grant: Grant, limit_bytes: int) -> bytes:
    """The body as sent; who sends it too slowly must not keep a slot from everybody else.

    What came of it counts against the token's minute, also where it is refused.

    Raises:
        CutOffError: whoever sent it hung up.
        RequestTimeoutError: it did not arrive within ``upload_timeout_seconds``.
        TooLargeError: it is larger than the limit.
    """
    seconds = services(request).settings.upload_timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, grant, limit_bytes)
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"the body did not arrive within {seconds:g} s; send it again", where="body"
        ) from error


async def _read(request: Request, grant: Grant, limit: int) -> bytes:
    """The body as sent, refused as soon as it passes the limit."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise TooLargeError(f"at most {limit} bytes, {announced} announced", where="body")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooLargeError(f"at most {limit} bytes, more came", where="body")
    except ClientDisconnect as error:
        raise CutOffError(f"the connection ended after {len(body)} bytes of the body") from error
    finally:
        note_upload(request, grant, len(body))
    return bytes(body)
