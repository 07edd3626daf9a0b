"""What is acknowledged is stored; what is stored never changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bifurk.wire import Part, encode, encode_plain
from tests.parts import address, make_part, put_body, put_part
from tests.server import Server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server; every test has a run of its own name there."""
    server = Server(tmp_path_factory.mktemp("receipts") / "data")
    yield server
    server.stop()


@pytest.fixture
def part(request: pytest.FixtureRequest) -> Part:
    """The first part of the test's run."""
    return make_part(0, run=request.node.originalname)


def test_a_part_is_created_once_and_then_repeated(shared: Server, part: Part) -> None:
    status, first = put_part(shared, part)
    run = int(first["page"].removeprefix("/runs/"))
    beside = {"directives": [], "alerts": [], "page": f"/runs/{run}", "beside": []}
    assert (status, first) == (201, {"created": True, **beside})
    assert put_part(shared, part) == (200, {"created": False, **beside})
    assert shared.wait_until_judged(run, 1)["snapshots"]["total"] == 1
    assert put_part(shared, part) == (200, {"created": False, **beside})


def test_another_body_for_a_stored_part_is_a_conflict(shared: Server, part: Part) -> None:
    put_part(shared, part)
    status, problem = put_part(shared, make_part(0, run=part.manifest.run, seed=1))
    assert status == 409
    assert "a stored part never changes" in problem["detail"]


def test_one_sequence_at_two_steps_is_a_conflict(shared: Server, part: Part) -> None:
    put_part(shared, part)
    status, problem = put_part(shared, make_part(0, run=part.manifest.run, step=7))
    assert status == 409
    assert problem["where"] == "manifest.sequence"


@pytest.mark.parametrize("field", ["project", "run", "attempt"])
def test_a_path_that_contradicts_the_manifest_is_refused(
    shared: Server, part: Part, field: str
) -> None:
    path = address(make_part(0, **{"run": part.manifest.run, field: "other"}).manifest)
    status, problem = put_body(shared, path, encode(part))
    assert status == 422
    assert problem["where"] == f"manifest.{field}"
    listed = {run["run"] for run in shared.get("/api/v1/runs")["items"]}
    assert listed.isdisjoint({part.manifest.run, "other"})


def test_an_uncompressed_part_is_taken_too(shared: Server, part: Part) -> None:
    status, answer = put_body(
        shared, address(part.manifest), encode_plain(part), Content_Encoding="identity"
    )
    assert status == 201
    run = int(answer["page"].removeprefix("/runs/"))
    assert shared.wait_until_judged(run, 1)["last_step"] == 0
