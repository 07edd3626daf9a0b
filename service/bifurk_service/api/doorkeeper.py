"""Turns requests away before any route sees them, and lets HEAD in where GET may go.

What goes out says what browsers may do with it: nothing, unless the route says otherwise.

A server on loopback is open as long as it has no token, and every web page that a browser on
the same machine shows may try to reach it: by a name of its own that resolves to loopback, or
by a form that posts here. Neither gets in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifurk_service.api.origin import comes_from_elsewhere
from bifurk_service.errors import BifurkError, ForbiddenError, TooLargeError, UnknownHostError

ANY_HOST: Final = "*"
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_BODY_BYTES: Final = 64 << 10
"""Of everything but the uploads, which have limits of their own."""
UPLOADS: Final = (("PUT", re.compile(r".*")), ("POST", re.compile(r"/api/v1/runs/\d+/series")))
"""Methods and paths: snapshots, and series computed elsewhere."""
OUTGOING: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""On every answer that does not have them of its own: no guessing of types, no scripts, no frames,
and no use by pages of other sites, scripts and pictures included."""
ROUTED: Final = ("route", "path_params")
"""What routing notes in the scope it is given."""
STREAM_PATH: Final = "/api/v1/stream"
"""The one GET whose answer has no end, so that there is no HEAD of it."""


class Doorkeeper:
    """ASGI middleware; see the module.

    Args:
        allowed_hosts: names that requests may name, ``*.example.org`` for all below it, or
            ``*`` for any.
        answer: makes the response to an error.
        public_url: where people reach the server, if it is told.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Collection[str],
        answer: Callable[[BifurkError], ASGIApp],
        public_url: str | None = None,
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _guarded(send)
        try:
            is_upload = _is_upload(scope["method"], scope["path"])
            self._check(scope["method"], Headers(scope=scope), is_upload=is_upload)
        except BifurkError as error:
            await self._answer(error)(scope, receive, send)
            return
        inner = scope
        if scope["method"] == "HEAD" and scope["path"] != STREAM_PATH:
            # The server below sends no body in answer to HEAD, whatever comes from here.
            inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive if is_upload else _limited(receive), send)
        finally:
            # Where it went is told to the layers above, which look at their own scope.
            scope.update({name: inner[name] for name in ROUTED if name in inner})

    def _check(self, method: str, headers: Headers, *, is_upload: bool) -> None:
        host = _name(headers.get("host", ""))
        if not self._knows(host):
            raise UnknownHostError(
                f"this server does not go by the name {host!r}; BIFURK_ALLOWED_HOSTS adds names",
                where="Host",
            )
        if method not in READING and comes_from_elsewhere(headers, public_url=self._public_url):
            raise ForbiddenError(
                "a page of another site may change nothing here", reason="foreign_site"
            )
        announced = headers.get("content-length", "")
        if not is_upload and announced.isdigit() and int(announced[:18]) > MOST_BODY_BYTES:
            raise TooLargeError(
                f"at most {MOST_BODY_BYTES} bytes, {announced} announced", where="body"
            )

    def _knows(self, host: str) -> bool:
        if ANY_HOST in self._allowed_hosts or host in self._allowed_hosts:
            return True
        return any(
            name.startswith("*.") and host.endswith(name[1:]) for name in self._allowed_hosts
        )


def _is_upload(method: str, path: str) -> bool:
    return any(method == known and pattern.fullmatch(path) for known, pattern in UPLOADS)


def _name(host: str) -> str:
    """A Host header without its port; an IPv6 address keeps its brackets."""
    end = host.find("]") + 1
    name, _, _ = host[end:].partition(":")
    return (host[:end] + name).lower()


def _guarded(send: Send) -> Send:
    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in OUTGOING.items():
                headers.setdefault(name, value)
        await send(message)

    return write


def _limited(receive: Receive) -> Receive:
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BODY_BYTES:
            raise HTTPException(413, f"at most {MOST_BODY_BYTES} bytes, more came")
        return message

    return read
