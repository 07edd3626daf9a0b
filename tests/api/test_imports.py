"""Series computed elsewhere: taken in, watched, read back, and refused where they are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from bifurk.wire import encode
from tests.api.filling import Caller
from tests.parts import address, make_part, put_body

NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}
ONSET = 60
STEPS = 90

Post = Callable[..., tuple[int, Any]]


@pytest.fixture
def run_id(anyone: Caller, request: pytest.FixtureRequest) -> int:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:100]
    return made(anyone, name)


def made(caller: Caller, name: str) -> int:
    status, answer = caller.request(
        "POST",
        "/api/v1/runs",
        body=json.dumps({"project": "imports", "run": name}).encode(),
        headers={"content-type": "application/json"},
    )
    assert status == 201
    return int(answer["id"])


def post(
    caller: Caller,
    run_id: int,
    points: Iterable[tuple[int, str | None, str, float | None]],
    query: str = "",
) -> tuple[int, Any]:
    names = ("step", "tensor", "statistic", "value")
    lines = [json.dumps(dict(zip(names, point, strict=True))) for point in points]
    return caller.request(
        "POST",
        f"/api/v1/runs/{run_id}/series{query}",
        body="\n".join(lines).encode(),
        headers=NDJSON,
    )


def layer_courses(seed: int) -> list[tuple[int, str, str, float]]:
    """The standard deviations of two layers' matrices; those of layer 1 triple at the onset."""
    random = np.random.default_rng(seed)
    points = []
    for index in range(STEPS):
        for layer in range(2):
            for name in ("query", "key", "value", "output"):
                size = 3.0 if layer == 1 and index >= ONSET else 1.0
                value = 0.02 * size * np.exp(0.002 * random.standard_normal())
                points.append((10 * index, f"layers.{layer}.{name}.weight", "std", float(value)))
    return points


def test_statistics_of_the_table_are_watched_like_measured_ones(
    anyone: Caller, run_id: int
) -> None:
    points = layer_courses(3)
    status, answer = post(anyone, run_id, points)
    assert status == 200, answer
    assert (answer["new_points"], answer["new_steps"]) == (len(points), STEPS)
    anyone.wait_until_judged(run_id, STEPS)
    alerts = anyone.get(f"/api/v1/alerts?run={run_id}&severity=warning&severity=critical")["items"]
    told = [alert for alert in alerts if alert["parent"] is None]
    assert [alert["statistic"] for alert in told] == ["std"]
    assert 10 * ONSET <= told[0]["detected_step"] <= 10 * (ONSET + 6)
    assert {tensor["layer"] for tensor in told[0]["tensors"]} == {1}


def test_a_statistic_of_the_runs_own_is_watched_and_read_back(anyone: Caller, run_id: int) -> None:
    random = np.random.default_rng(5)
    names = [f"blocks.{layer}.{part}" for layer in range(2) for part in ("a", "b", "c")]
    points = [
        (index, name, "fisher", float((5 if index >= ONSET else 1) * random.uniform(0.95, 1.05)))
        for index in range(STEPS)
        for name in names
    ]
    status, answer = post(anyone, run_id, points, "?nature=fisher=stationary&log=fisher")
    assert status == 200, answer
    anyone.wait_until_judged(run_id, STEPS)
    alerts = anyone.get(f"/api/v1/alerts?run={run_id}&severity=critical&severity=warning")["items"]
    assert "fisher" in {alert["statistic"] for alert in alerts}
    [series] = anyone.get(f"/api/v1/runs/{run_id}/series?stat=fisher&tensor=blocks.0.a")["items"]
    assert series["steps"] == list(range(STEPS))
    assert series["values"] == [value for _, name, _, value in points if name == "blocks.0.a"]


def test_the_same_again_changes_nothing_and_later_steps_go_on(anyone: Caller, run_id: int) -> None:
    points = [(1, "w", "std", 1.0), (1, "w", "own", None), (2, None, "loss", 3.0)]
    assert post(anyone, run_id, points)[1]["new_points"] == 3
    assert post(anyone, run_id, points)[1]["new_points"] == 0
    status, answer = post(anyone, run_id, [*points, (3, "w", "another", 1.0)])
    assert (status, answer["new_points"], answer["new_steps"]) == (200, 1, 1)
    anyone.wait_until_judged(run_id, 3)
    [series] = anyone.get(f"/api/v1/runs/{run_id}/series?stat=loss&tensor=(model)")["items"]
    assert (series["steps"], series["values"]) == ([2], [3.0])


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([(5, "w", "std", 2.0)], "stored as 1.0, got 2.0"),
        ([(5, "w", "std", None)], "stored as 1.0, got nan"),
        ([(5, "v", "std", 1.0)], "not among what was imported"),
        ([(4, "w", "std", 1.0)], "the last is 5"),
    ],
)
def test_what_is_stored_never_changes(
    anyone: Caller, run_id: int, points: list[tuple[int, str, str, float | None]], problem: str
) -> None:
    assert post(anyone, run_id, [(5, "w", "std", 1.0)])[0] == 200
    status, answer = post(anyone, run_id, [*points, (9, "w", "std", 1.0)])
    assert status == 409
    assert problem in answer["detail"]
    assert anyone.get(f"/api/v1/runs/{run_id}")["snapshots"]["total"] == 1


def test_a_clients_run_takes_no_imports(anyone: Caller) -> None:
    anyone.report("imports", "watched")
    status, answer = post(anyone, anyone.run_id("imports", "watched"), [(1, "w", "std", 1.0)])
    assert status == 409
    assert "import series into a run of their own" in answer["detail"]


@pytest.mark.parametrize(
    ("query", "headers", "body", "status", "problem"),
    [
        ("", {"content-type": "application/json"}, b"{}", 415, "Content-Type is one of"),
        ("", CSV, b"", 422, "the header must name"),
        ("", CSV, b"step,statistic,value\n", 422, "at least one point"),
        ("", CSV, b"step,statistic,value\n1,std,x\n", 422, "value is a number"),
        ("", CSV, b"step,statistic,value\n1,std,1\n1,std,2\n", 422, "given twice"),
        ("", CSV, b"\xff\xfe", 422, "the text is UTF-8"),
        ("?nature=own", CSV, b"step,statistic,value\n1,own,1\n", 422, "expected NAME="),
        ("?nature=own=class", CSV, b"step,statistic,value\n1,own,1\n", 422, "expected NAME="),
        ("?nature=std=bounded", CSV, b"step,statistic,value\n1,std,1\n", 422, "in the table"),
    ],
)
def test_a_wrong_import_is_refused_whole(
    anyone: Caller,
    run_id: int,
    *,
    query: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    problem: str,
) -> None:
    path = f"/api/v1/runs/{run_id}/series{query}"
    found, answer = anyone.request("POST", path, body=body, headers=headers)
    assert found == status, answer
    assert problem in answer["detail"]
    assert anyone.get(f"/api/v1/runs/{run_id}/tensors")["items"] == []


def test_a_statistics_nature_never_changes(anyone: Caller, run_id: int) -> None:
    assert post(anyone, run_id, [(1, "w", "own", 1.0)], "?nature=own=bounded")[0] == 200
    status, answer = post(anyone, run_id, [(2, "w", "own", 1.0)], "?nature=own=stationary")
    assert status == 409
    assert "own is stored as bounded" in answer["detail"]


def test_a_run_is_made_once(anyone: Caller) -> None:
    wanted = json.dumps({"project": "imports", "run": "once"}).encode()
    headers = {"content-type": "application/json"}
    first = anyone.request("POST", "/api/v1/runs", body=wanted, headers=headers)
    assert first == (201, {"id": first[1]["id"]})
    assert anyone.request("POST", "/api/v1/runs", body=wanted, headers=headers) == (200, first[1])
    status, answer = anyone.request(
        "POST", "/api/v1/runs", body=b'{"run": "no slug!"}', headers=headers
    )
    assert status == 422
    assert "run" in answer["detail"]


def test_more_than_a_request_takes_is_refused_with_the_number(anyone: Caller, run_id: int) -> None:
    points = [(1, f"t{n}", "std", 1.0) for n in range(20_001)]
    status, answer = post(anyone, run_id, points)
    assert status == 422
    assert "at most 20000 values a request" in answer["detail"]


@pytest.mark.parametrize("attempt", ["import", "another"])
def test_no_client_writes_into_an_imported_run(anyone: Caller, run_id: int, attempt: str) -> None:
    assert post(anyone, run_id, [(1, "w", "std", 1.0)])[0] == 200
    run = anyone.get(f"/api/v1/runs/{run_id}")["run"]
    part = make_part(5, project="imports", run=run, attempt=attempt)
    status, answer = put_body(anyone.server, address(part.manifest), encode(part))
    assert status == 409
    assert "takes no snapshots beside" in answer["detail"]
