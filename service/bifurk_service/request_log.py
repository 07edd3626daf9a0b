"""One line a request, and its id on the answer; see ``docs/operations.md``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifurk_service.logs import begin_request
from bifurk_service.logs.formatting import OWN
from bifurk_service.logs.request import HEADER

log = logging.getLogger("bifurk.access")

NO_ROUTE: Final = "none"
"""The route of a request that found none: paths are anybody's invention, and no label."""
METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD: Final = "other"
MOST_CHARACTERS: Final = 128
"""Of a word of a path; slugs have fewer."""
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds by machines: told at the level debug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that was answered.

    Attributes:
        route: the template of its path, such as ``/runs/{run_id}``.
        refused: why it was turned away, or None. received, sent: bytes of the bodies.
    """

    method: str
    route: str
    status: int
    seconds: float
    received: int
    sent: int
    refused: str | None


class RequestLog:
    """ASGI middleware, the outermost.

    Args:
        observe: told of every request once it is answered.
    """

    def __init__(self, app: ASGIApp, *, observe: Callable[[Exchange], None]) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands on, and tells what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = begin_request(Headers(scope=scope).get(HEADER))
        # Nothing answered: the layer above this one will, with 500.
        status, received, sent = int(HTTPStatus.INTERNAL_SERVER_ERROR), 0, 0
        started = time.monotonic()

        async def read() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def write(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = record.id
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, read, write)
        finally:
            exchange = Exchange(
                method=scope["method"] if scope["method"] in METHODS else OTHER_METHOD,
                route=getattr(scope.get("route"), "path", NO_ROUTE),
                status=status,
                seconds=time.monotonic() - started,
                received=received,
                sent=sent,
                refused=record.refused,
            )
            _tell(exchange, scope, record.token_id)
            self._observe(exchange)


def _tell(exchange: Exchange, scope: Scope, token_id: int | None) -> None:
    level = logging.DEBUG if exchange.route in PROBES else logging.INFO
    if not log.isEnabledFor(level):
        return
    about = {
        "method": exchange.method,
        "route": exchange.route,
        "status": exchange.status,
        "seconds": round(exchange.seconds, 4),
        "received": exchange.received,
        "sent": exchange.sent,
        "token": token_id,
        "refused": exchange.refused,
        **_about_run(scope),
    }
    line = f"{exchange.method} {exchange.route} {exchange.status}"
    log.log(level, "%s", line, extra={OWN: about})


def _about_run(scope: Scope) -> dict[str, object]:
    """Of what run the path speaks; of a path that found no route nothing is told."""
    named = scope.get("path_params", {})
    return {
        name: str(named[name])[:MOST_CHARACTERS]
        for name in ("project", "run", "attempt", "run_id")
        if name in named
    }
