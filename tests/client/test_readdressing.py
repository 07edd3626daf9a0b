"""What is refused as another job's goes out under a name of its own, the same whoever sends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bifurk.identity import WRITER_HEADER, Identity
from bifurk.readdressing import Readdressing, own_attempt
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request, Response
from bifurk.wire import (
    SLUG_PATTERN,
    AttemptReport,
    Manifest,
    Part,
    content_digest,
    decode,
    encode,
    encode_attempt,
)

TAKEN = Response(status=409, body=json.dumps({"where": WRITER_HEADER}).encode())
OTHER = Response(status=409, body=json.dumps({"where": "manifest.sequence"}).encode())
MINE = Identity(project="p", run="r", attempt="night", writer="0123456789abcdef")
DEADLINE: dict[str, Any] = {"deadline_seconds": 5.0}


def part_of(step: int, identity: Identity = MINE) -> Request:
    manifest = Manifest(project="p", run="r", attempt=identity.attempt, step=step, sequence=step)
    body = encode(Part(manifest=manifest, tensors=()))
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "zstd",
        "Content-Digest": content_digest(body),
        **identity.headers,
    }
    path = identity.part_path(step)
    return Request(method="PUT", path=path, headers=headers, body=body, sequence=step)


def report_of(identity: Identity = MINE) -> Request:
    body = encode_attempt(AttemptReport(state="running"))
    return Request(method="PUT", path=identity.attempt_path, headers=identity.headers, body=body)


def test_a_part_and_a_report_go_to_an_attempt_of_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = InMemoryTransport([TAKEN])
    way = Readdressing(inner)
    for request in (report_of(), part_of(0), part_of(1)):
        assert way.send(request, **DEADLINE).status == 201
    paths = [request.path for request in inner.requests]
    assert paths[0] == MINE.attempt_path
    assert [path.split("/attempts/")[1] for path in paths[1:]] == [
        "night-01234567",
        "night-01234567/snapshots/0/parts/0",
        "night-01234567/snapshots/1/parts/0",
    ]
    for request in inner.requests[2:]:
        assert decode(request.body).manifest.attempt == "night-01234567"
        assert request.headers["Content-Digest"] == content_digest(request.body)
        assert request.headers[WRITER_HEADER] == MINE.writer
    assert caplog.text.count("go on as attempt night-01234567") == 1


def test_a_repeated_part_is_the_same_bytes_again() -> None:
    bodies = []
    for _ in range(2):
        inner = InMemoryTransport([TAKEN])
        Readdressing(inner).send(part_of(3), **DEADLINE)
        bodies.append(inner.requests[-1].body)
    assert bodies[0] == bodies[1]


def test_what_else_contradicts_stays_refused() -> None:
    inner = InMemoryTransport([OTHER])
    assert Readdressing(inner).send(part_of(0), **DEADLINE) == OTHER
    assert len(inner.requests) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"where"', b"[" * 100_000])
def test_a_refusal_that_cannot_be_read_moves_nothing(body: bytes) -> None:
    inner = InMemoryTransport([Response(status=409, body=body)])
    assert Readdressing(inner).send(part_of(0), **DEADLINE).status == 409
    assert len(inner.requests) == 1


def test_another_job_s_left_overs_are_not_taken_along() -> None:
    inner = InMemoryTransport([TAKEN])
    way = Readdressing(inner)
    way.send(part_of(0), **DEADLINE)
    other = Identity(project="p", run="r", attempt="night", writer="fedcba9876543210")
    nobody = Identity(project="p", run="r", attempt="night")
    for identity in (other, nobody):
        way.send(part_of(1, identity), **DEADLINE)
        assert inner.requests[-1].path == identity.part_path(1)


def test_a_part_that_cannot_be_read_back_stays_refused() -> None:
    broken = part_of(0)
    broken = Request(method="PUT", path=broken.path, headers=broken.headers, body=b"torn")
    inner = InMemoryTransport([TAKEN])
    assert Readdressing(inner).send(broken, **DEADLINE).status == 409
    assert len(inner.requests) == 1


def test_names_stay_slugs() -> None:
    import re

    for attempt in ("a", "x" * 128):
        assert re.fullmatch(SLUG_PATTERN, own_attempt(attempt, "0123456789abcdef"))


def test_the_transport_is_closed_with_it() -> None:
    inner = InMemoryTransport()
    Readdressing(inner).close()
    assert inner.closed
