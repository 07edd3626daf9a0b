"""How requests reach the server: the Transport seam, and urllib3 behind it.

Nothing outside this module knows urllib3: its errors come out as ``TransportError``.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Timeout, parse_url

MAX_REPLY_BYTES: Final = 256 << 10
"""Of a reply's body that are read: answers are small documents; the rest is left unread."""

SEND_SLICE_BYTES: Final = 64 << 10
"""Bytes handed to the socket between two looks at the deadline."""

CONNECT_SECONDS: Final = 10.0
"""For one address: a host that drops packets silently should not use up the whole deadline."""


class TransportError(Exception):
    """No answer came: refused, unreachable, cut off, not HTTP, or later than the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, whole: a retry sends these very bytes.

    Attributes:
        path: from the server's root, without the url's own prefix: ``/api/v1/...``.
        headers: all but the token, which the transport adds and nobody stores.
        sequence: of the snapshot it carries; None when it carries none.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer.

    Attributes:
        headers: names in lower case.
        body: at most the first ``MAX_REPLY_BYTES``.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """Sends one request and returns the answer; no retries, those are the sender's."""

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        """Sends, and waits for the answer at most ``deadline_seconds`` in all.

        Raises:
            TransportError: no whole answer came in time.
        """
        ...

    def close(self) -> None:
        """Lets go of the connections; more than once is fine."""
        ...


class Urllib3Transport:
    """Speaks HTTP/1.1 over one kept-alive connection.

    TLS certificates are verified. Redirects are not followed (the token must reach nobody
    else): a 3xx comes back as it is. The deadline covers the whole exchange, so that a server
    that answers one byte a second holds nobody up.

    Args:
        url: ``http(s)://host[:port][/prefix]``. token: sent as ``Authorization: Bearer``.

    Raises:
        ValueError: the url or the token cannot be used; the message says why.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = parse_url(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ValueError(f"url must look like http(s)://host[:port][/prefix], got {url!r}")
        if parts.auth or parts.query or parts.fragment:
            raise ValueError("url must carry no user, password, query or fragment")
        self._authorization = _authorization(token)
        self._prefix = (parts.path or "").rstrip("/")
        self._deadline = _Deadline()
        self._lock = threading.Lock()
        pool = _TimedHTTPSPool if parts.scheme == "https" else _TimedHTTPPool
        self._pool = pool(parts.host, parts.port, maxsize=1, deadline=self._deadline)

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        """See ``Transport.send``. One request at a time; another thread waits its turn."""
        if not self._lock.acquire(timeout=max(0.0, deadline_seconds)):
            raise TransportError("another request is still under way")
        try:
            self._deadline.set(deadline_seconds)
            return self._exchange(request)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise TransportError(_reason(error)) from error
        except ValueError as error:
            raise TransportError(f"this request cannot be sent: {error}") from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Closes the idle connection; a later ``send`` would fail."""
        self._pool.close()

    def _exchange(self, request: Request) -> Response:
        seconds = self._deadline.remaining()
        reply = self._pool.urlopen(
            request.method,
            self._prefix + request.path,
            body=request.body,
            headers={**request.headers, **self._authorization},
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds),
        )
        try:
            body = _read(reply)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return Response(status=reply.status, headers=headers, body=body)
        finally:
            _let_go(reply)


def _authorization(token: str | None) -> dict[str, str]:
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("token must be printable ASCII without spaces")
    return {"Authorization": f"Bearer {token}"}


def _read(reply: urllib3.BaseHTTPResponse) -> bytes:
    """The body as sent, up to the limit; only a read that finds nothing sees that it was cut."""
    body = b""
    while len(body) < MAX_REPLY_BYTES:
        more = reply.read(MAX_REPLY_BYTES - len(body), decode_content=False)
        if not more:
            break
        body += more
    return body


def _let_go(reply: urllib3.BaseHTTPResponse) -> None:
    """Keeps the connection when the reply was read to its end, closes it otherwise."""
    if not reply.closed:
        reply.close()
    reply.release_conn()


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Deadline:
    """When the exchange under way must be over, on the monotonic clock."""

    def __init__(self) -> None:
        self._at = 0.0

    def set(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        seconds = self._at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline passed")
        return seconds


class _TimedSocket:
    """A connected socket each of whose operations ends by the deadline.

    A socket's own timeout starts again with every byte that arrives; this one does not.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), SEND_SLICE_BYTES):
            self._sock.settimeout(self._deadline.remaining())
            self._sock.sendall(view[start : start + SEND_SLICE_BYTES])

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb", mode
        raw = self._sock.makefile("rb", buffering=0)
        return io.BufferedReader(_TimedReader(raw, self._sock, self._deadline))


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.SocketIO, sock: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedHTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.sock = cast(socket.socket, _TimedSocket(self.sock, self._deadline))


class _TimedHTTPSConnection(HTTPSConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.sock = cast(socket.socket, _TimedSocket(self.sock, self._deadline))


class _TimedHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _TimedHTTPConnection


class _TimedHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPSConnection
