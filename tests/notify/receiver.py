"""A real HTTP server on loopback that takes messages, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.server import DEADLINE_SECONDS, wait_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Listens until closed; each answer is the next of ``answers``, then 200.

    ``hold`` keeps every answer back until it is set.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                receiver.received.append(
                    Received(path=self.path, headers=dict(self.headers), body=body)
                )
                receiver.hold.wait(DEADLINE_SECONDS)
                status, headers, said = (
                    receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speaks TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def answer(self, status: int, headers: dict[str, str] | None = None, said: bytes = b"") -> None:
        """What the next request is answered."""
        self.answers.append((status, headers or {}, said))

    def wait_for(self, count: int) -> list[Received]:
        """What came, once this many requests have."""
        wait_for(lambda: len(self.received) >= count, f"{count} messages")
        return self.received

    def close(self) -> None:
        """Nobody listens any more; again is no error."""
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
