"""Something that stands where a server should, and answers as proxies and other servers do."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import bifurk


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """How it answers.

    Attributes:
        status, body: to uploads; where the status is 404, to everything.
        document: a problem of bifurk's, to uploads. encoding: of all answers.
        late: how far its clock is behind, in seconds. version: it says it is.
    """

    status: int = 422
    body: bytes = b""
    document: dict[str, Any] | None = None
    encoding: str | None = None
    late: float = 0.0
    version: str = bifurk.__version__


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, ways: Between, *arguments: Any) -> None:
        self.ways = ways
        super().__init__(*arguments)

    def do_GET(self) -> None:
        health = {"status": "ok", "version": self.ways.version}
        is_other = self.ways.status == 404
        self._answer(404 if is_other else 200, b"<html>" if is_other else _json(health))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.ways.document is None:
            self._answer(self.ways.status, self.ways.body)
            return
        problem = {"title": "t", "detail": "d", "request_id": "1", **self.ways.document}
        self._answer(problem["status"], _json(problem))

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) - self.ways.late, usegmt=True)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.ways.encoding:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", self.ways.encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@contextmanager
def between(ways: Between) -> Iterator[str]:
    """Answers so for as long as this is open; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, ways))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
