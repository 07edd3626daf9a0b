"""An address that misbehaves as a test asks until it is healed, then is a real server's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import urllib3

from tests.server import DEADLINE_SECONDS

DRIP_SECONDS = 1.0
HOP_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding"})
"""What concerns one connection and is not passed on."""

Fault: TypeAlias = "Callable[[Handler], None]"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_PUT(self) -> None:
        self.server.handle_put(self)

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self) -> None:
        """The request to the real server, and its answer back."""
        self.reply(*self.forward(self.read_body()))

    def forward(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """What the real server answers to this request with this body."""
        answer = self.server.http.request(
            "PUT",
            self.server.backend + self.path,
            body=body,
            headers=end_to_end(self.headers.items()),
        )
        return answer.status, answer.data, end_to_end(answer.headers.items())

    def forward_cut(self, body: bytes, length: int) -> None:
        """Sends the real server the beginning of a request, and hangs up."""
        address = urlsplit(self.server.backend)
        headers = {**end_to_end(self.headers.items()), "Host": address.netloc}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = [f"PUT {self.path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall("\r\n".join(head).encode() + body[:length])

    def log_message(self, *_: Any) -> None:
        """Says nothing: the tests look at what arrived."""


class Gateway(ThreadingHTTPServer):
    """Stands between the client and a real server.

    Args:
        fault: done to every request until ``heal``; None refuses the connection.
        backend: url of the real server.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, fault: Fault | None, *, backend: str) -> None:
        self._fault = fault
        self.backend = backend
        self.http = urllib3.PoolManager(retries=False, timeout=DEADLINE_SECONDS)
        self._condition = threading.Condition()
        self.healed = threading.Event()
        self.connections: list[socket.socket] = []
        self.faulted: list[str] = []
        # A socket that is bound and does not listen refuses connections, and keeps its port.
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server_bind()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        if fault is not None:
            self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def heal(self) -> None:
        """From now on the real server answers; what hangs is hung up."""
        self.healed.set()
        if not self._thread.is_alive():
            self._open()

    def handle_put(self, handler: Handler) -> None:
        if self.healed.is_set():
            handler.pass_on()
            return
        with self._condition:
            self.faulted.append(handler.path)
            self._condition.notify_all()
        assert self._fault is not None
        self._fault(handler)

    def wait_for_faulted(self, count: int) -> None:
        """Until this many requests have met the fault."""
        with self._condition:
            met = self._condition.wait_for(lambda: len(self.faulted) >= count, DEADLINE_SECONDS)
        assert met, self.faulted

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the test."""

    def hang_up(self) -> None:
        """Ends every connection there is."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        """Ends it with all its connections."""
        self.healed.set()
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.hang_up()
        self.server_close()
        self.http.clear()

    def _open(self) -> None:
        self.server_activate()
        self._thread.start()


@contextmanager
def gateway(fault: Fault | None, *, backend: str) -> Iterator[Gateway]:
    """A gateway for as long as the context is open."""
    made = Gateway(fault, backend=backend)
    try:
        yield made
    finally:
        made.shut()


def end_to_end(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in HOP_HEADERS}


def answers(status: int, **headers: str) -> Fault:
    """Answers properly, and always the same."""

    def fault(handler: Handler) -> None:
        handler.read_body()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.reply(status, b'{"title": "a fault of the test"}', named)

    return fault


def hangs(handler: Handler) -> None:
    """Takes the request and never answers."""
    handler.read_body()
    _hold(handler)


def never_reads(handler: Handler) -> None:
    """Accepts the connection, and that is all."""
    _hold(handler)


def drips(handler: Handler) -> None:
    """Answers one byte a second, each of which a naive read timeout takes for progress."""
    handler.read_body()
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
    while not handler.server.healed.wait(DRIP_SECONDS):
        handler.wfile.write(b"x")


def speaks_another_protocol(handler: Handler) -> None:
    """Answers with bytes that are no HTTP."""
    handler.read_body()
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff\x13\x37" * 20)
    handler.close_connection = True


def cuts_the_request(handler: Handler) -> None:
    """Hangs up in the middle of the client's body."""
    handler.rfile.read(int(handler.headers["Content-Length"]) // 2)
    handler.close_connection = True


def cuts_the_answer(handler: Handler) -> None:
    """Hangs up in the middle of its own body."""
    handler.read_body()
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
    handler.close_connection = True


def _hold(handler: Handler) -> None:
    handler.server.healed.wait()
    handler.close_connection = True
