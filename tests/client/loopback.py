"""A real HTTP server on loopback that behaves as badly as a test asks."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from tests.server import DEADLINE_SECONDS

Behaviour: TypeAlias = "Callable[[Handler], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_PUT(self) -> None:
        self.server.behave(self)

    def read_body(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        received = Received(
            method=self.command,
            path=self.path,
            headers=dict(self.headers.items()),
            body=body,
            client_port=self.client_address[1],
        )
        self.server.keep(received)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing: what arrives is looked at in the test."""


class Loopback(ThreadingHTTPServer):
    """Answers with one behaviour a request, then with 201; ``released`` ends the hanging ones."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        behaviours: Iterable[Behaviour] = (),
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._behaviours = list(behaviours)
        self._condition = threading.Condition()
        self._received: list[Received] = []
        self.released = threading.Event()
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", port), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def behave(self, handler: Handler) -> None:
        with self._condition:
            behaviour = self._behaviours.pop(0) if self._behaviours else answers(201)
        behaviour(handler)

    def keep(self, received: Received) -> None:
        with self._condition:
            self._received.append(received)
            self._condition.notify_all()

    def received(
        self, count: int = 0, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> list[Received]:
        with self._condition:
            arrived = lambda: len(self._received) >= count  # noqa: E731 - a condition, named
            assert self._condition.wait_for(arrived, deadline_seconds), len(self._received)
            return list(self._received)

    def hang_up(self) -> None:
        """Ends the kept-alive connections, as the end of a process does."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the test."""


@contextmanager
def serving(
    *behaviours: Behaviour, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Loopback]:
    server = Loopback(behaviours, port=port, tls=tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.read_body()
        handler.reply(status, body, **headers)

    return behave


def hangs(handler: Handler) -> None:
    handler.read_body()
    handler.server.released.wait(DEADLINE_SECONDS)
    handler.close_connection = True


def never_reads(handler: Handler) -> None:
    handler.server.released.wait(DEADLINE_SECONDS)
    handler.close_connection = True


def drips(line: bytes) -> Behaviour:
    """Sends a line and then one byte every tenth of a second, for a minute."""

    def behave(handler: Handler) -> None:
        handler.read_body()
        handler.close_connection = True
        handler.wfile.write(line)
        for _ in range(600):
            if handler.server.released.wait(0.1):
                return
            handler.wfile.write(b"x")

    return behave


def sends(raw: bytes) -> Behaviour:
    """Sends these bytes as the whole answer, and hangs up."""

    def behave(handler: Handler) -> None:
        handler.read_body()
        handler.wfile.write(raw)
        handler.close_connection = True

    return behave
