"""What is acknowledged is stored; what is stored never changes."""

from __future__ import annotations

import pytest

from bifurk.wire import encode
from tests.parts import address, make_part, put_body, put_part
from tests.server import Server


def test_a_part_is_created_once_and_then_repeated(server: Server) -> None:
    part = make_part(0)
    beside = {"directives": [], "alerts": [], "page": "/runs/1"}
    assert put_part(server, part) == (201, {"created": True, **beside})
    assert put_part(server, part) == (200, {"created": False, **beside})
    assert server.wait_until_judged(1, 1)["snapshots"]["total"] == 1
    assert put_part(server, part) == (200, {"created": False, **beside})


def test_another_body_for_a_stored_part_is_a_conflict(server: Server) -> None:
    put_part(server, make_part(0))
    status, problem = put_part(server, make_part(0, seed=1))
    assert status == 409
    assert "a stored part never changes" in problem["detail"]


def test_one_sequence_at_two_steps_is_a_conflict(server: Server) -> None:
    put_part(server, make_part(0))
    status, problem = put_part(server, make_part(0, step=7))
    assert status == 409
    assert problem["where"] == "manifest.sequence"


@pytest.mark.parametrize("field", ["project", "run", "attempt"])
def test_a_path_that_contradicts_the_manifest_is_refused(server: Server, field: str) -> None:
    part = make_part(0)
    path = address(make_part(0, **{field: "other"}).manifest)
    status, problem = put_body(server, path, encode(part))
    assert status == 422
    assert problem["where"] == f"manifest.{field}"
    assert server.get("/api/v1/runs")["items"] == []


def test_an_uncompressed_part_is_taken_too(server: Server) -> None:
    from bifurk.wire import encode_plain

    part = make_part(0)
    status, _ = put_body(
        server, address(part.manifest), encode_plain(part), Content_Encoding="identity"
    )
    assert status == 201
    assert server.wait_until_judged(1, 1)["last_step"] == 0
