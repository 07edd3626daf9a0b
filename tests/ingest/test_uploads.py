"""Uploads that never end are cut off, so that they keep no place from the others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.parts import address, make_part, put_part
from tests.server import DEADLINE_SECONDS, Server, wait_for

PLACES = 2
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BETWEEN_BYTES_SECONDS = 0.05


@pytest.fixture
def hasty(start_server: Callable[..., Server]) -> Server:
    """A server with few places, which waits a second for a body."""
    return start_server(BIFURK_MAX_CONCURRENT_PARTS=str(PLACES), BIFURK_UPLOAD_TIMEOUT_SECONDS="1")


@contextmanager
def begun_upload(server: Server, path: str) -> Iterator[socket.socket]:
    """A PUT whose headers are through and whose body the server has begun to wait for."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE_SECONDS) as wire:
        wire.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        # No more than that: an answer may stand behind it already.
        assert wire.recv(len(CONTINUE), socket.MSG_WAITALL) == CONTINUE
        yield wire


def assert_told_to_send_it_again(answer: bytes) -> None:
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"within 1 s; send it again" in answer


def answer_of(wire: socket.socket) -> bytes:
    """Headers and body of an answer, which come as two writes."""
    with wire.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        [length] = [
            line.split(b":")[1] for line in head.lower().splitlines() if b"content-length" in line
        ]
        return head + stream.read(int(length))


def test_stalled_uploads_give_their_places_back(hasty: Server) -> None:
    part = make_part(0)
    path = address(part.manifest)
    with begun_upload(hasty, path) as one, begun_upload(hasty, path) as other:
        for wire in (one, other):
            assert_told_to_send_it_again(answer_of(wire))
        wait_for(lambda: put_part(hasty, part)[0] == 201, "a place")


def test_who_hangs_up_in_the_middle_is_no_error_of_the_server(server: Server) -> None:
    part = make_part(0)
    with begun_upload(server, address(part.manifest)) as wire:
        wire.sendall(b"x")
    wait_for(lambda: 'status="400"' in server.get("/metrics"), "the end of the upload")
    assert 'status="500"' not in server.get("/metrics")
    assert "Traceback" not in server.said()
    assert put_part(server, part)[0] == 201


def test_an_upload_that_trickles_is_cut_off_too(hasty: Server) -> None:
    with begun_upload(hasty, address(make_part(0).manifest)) as wire:
        wire.settimeout(BETWEEN_BYTES_SECONDS)
        for _ in range(900):
            wire.sendall(b"x")
            try:
                wire.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            break
        wire.settimeout(DEADLINE_SECONDS)
        assert_told_to_send_it_again(answer_of(wire))


def test_a_report_that_stalls_is_cut_off_too(hasty: Server) -> None:
    path = address(make_part(0).manifest).partition("/snapshots")[0]
    with begun_upload(hasty, path) as wire:
        assert_told_to_send_it_again(answer_of(wire))
    assert hasty.get("/api/v1/runs")["items"] == []
