"""Whatever goes wrong is answered in one shape, with the right status; nothing falls over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from bifurk_service.app import create_app
from bifurk_service.settings import Settings
from tests.api.filling import Caller, Filled, settled
from tests.asking import asked
from tests.server import Server

HUGE = 2**63
NUL = "%00"


def problem(caller: Caller, method: str, path: str) -> tuple[int, dict[str, object]]:
    """Status and document of an answer that must be a problem."""
    answer = asked(method, caller.server.url + path, headers=caller.headers, retries=False)
    assert answer.headers["content-type"] == "application/problem+json", answer.data
    document = answer.json()
    assert document["status"] == answer.status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    return answer.status, document


REFUSED = [
    (404, "GET", "/no/such/path"),
    (404, "GET", "/api/v1/runs/999999"),
    (404, "GET", "/api/v1/runs/{run}/tensors/999999/statistics"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/statistics?step=15"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?step=15"),
    (404, "GET", "/api/v1/runs/{run}/scalars/no-such-scalar"),
    (404, "GET", "/api/v1/alerts/999999"),
    (404, "GET", "/api/v1/alerts?run=999999"),
    (404, "GET", "/api/v1/stream?run=999999"),
    (404, "POST", "/api/v1/alerts/999999/resolve"),
    (404, "DELETE", "/api/v1/runs/999999"),
    (404, "GET", "/api/v1/runs/1%2F2"),
    (405, "DELETE", "/api/v1/runs"),
    (405, "DELETE", "/api/v1/alerts/1"),
    (405, "PUT", "/healthz"),
    (422, "GET", "/api/v1/runs/one"),
    (422, "GET", "/api/v1/runs/0"),
    (422, "GET", "/api/v1/runs/-1"),
    (422, "GET", f"/api/v1/runs/{HUGE}"),
    (422, "GET", "/api/v1/runs/" + "9" * 5000),
    (422, "DELETE", f"/api/v1/runs/{HUGE}"),
    (422, "GET", f"/api/v1/alerts/{HUGE}"),
    (422, "GET", f"/api/v1/alerts?run={HUGE}"),
    (422, "GET", f"/api/v1/alerts?since={HUGE}"),
    (422, "GET", f"/api/v1/stream?run={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors/{HUGE}/statistics"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors/{{tensor}}/statistics?step={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors/{{tensor}}/distribution?step={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors?layer={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/series?stat=std&from={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/series?stat=std&to={HUGE}"),
    (422, "GET", "/api/v1/runs/{run}/series"),
    (422, "GET", "/api/v1/runs/{run}/series?stat=no_such_statistic"),
    (422, "GET", "/api/v1/runs/{run}/series?stat=std;drop table runs"),
    (422, "GET", "/api/v1/runs/{run}/series?stat=std&points=3"),
    (422, "GET", "/api/v1/runs/{run}/series?stat=std&points=1000000"),
    (422, "GET", f"/api/v1/runs/{{run}}/series?stat=std&tensor=a{NUL}b"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors?name=a{NUL}b"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors?role={NUL}"),
    (422, "GET", f"/api/v1/runs/{{run}}/scalars/a{NUL}b"),
    (422, "GET", f"/api/v1/runs?project={NUL}"),
    (422, "GET", f"/api/v1/alerts?kind={NUL}"),
    (422, "GET", "/api/v1/alerts?severity=apocalyptic"),
    (422, "GET", "/api/v1/runs?project=" + "x" * 129),
    (422, "GET", "/api/v1/runs?limit=0"),
    (422, "GET", "/api/v1/runs?limit=1001"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?bins=0"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?bins=5000"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=nan"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?high=inf"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=1&high=1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=2&high=1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=-1.7e308&high=1.7e308"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=1&high=1.0000000000000004"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?low=0&high=5e-324"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/distribution?unit=furlong"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?step=15"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?step=15"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/draws?step=15"),
    (404, "GET", "/api/v1/runs/{run}/tensors/{tensor}/spectrum?step=15"),
    (404, "GET", "/api/v1/runs/{run}/tensors/999999/spectrum"),
    (404, "GET", "/api/v1/runs/{run}/pooled?step=15"),
    (404, "GET", "/api/v1/runs/{run}/pooled?tensor=nothing"),
    (404, "GET", "/api/v1/runs/{run}/pooled/distribution?role=norm"),
    (404, "GET", "/api/v1/runs/{run}/profile?step=15"),
    (404, "GET", "/api/v1/runs/{run}/profile?against=999999"),
    (404, "GET", "/api/v1/runs/{run}/profile?against={run}&against_step=15"),
    (404, "GET", "/api/v1/runs/{run}/compare?with=999999"),
    (404, "GET", "/api/v1/runs/{run}/compare?with_step=15"),
    (404, "GET", "/api/v1/runs/{run}/export?tensor=nothing"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?p=nan"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?p=inf"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?p=-0.1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?p=0.5&p=1.1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?p=half"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/quantiles?" + "p=0.5&" * 201),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors/{{tensor}}/quantiles?step={HUGE}"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?low=nan"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?high=-inf"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?low=1e999"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?low=1&high=1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?low=2&high=1"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/probability?unit=log_magnitude"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/draws?size=0"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/draws?size=100001"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/draws?seed=-1"),
    (422, "GET", f"/api/v1/runs/{{run}}/tensors/{{tensor}}/draws?seed={HUGE}"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/spectrum?points=3"),
    (422, "GET", "/api/v1/runs/{run}/tensors/{tensor}/spectrum?points=100001"),
    (422, "GET", f"/api/v1/runs/{{run}}/pooled?layer={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/pooled?tensor=a{NUL}b"),
    (422, "GET", "/api/v1/runs/{run}/pooled/distribution?bins=0"),
    (422, "GET", "/api/v1/runs/{run}/pooled/distribution?low=2&high=1"),
    (422, "GET", "/api/v1/runs/{run}/profile?stat=beauty"),
    (422, "GET", "/api/v1/runs/{run}/profile?stat=shape_class"),
    (422, "GET", f"/api/v1/runs/{{run}}/profile?against={HUGE}"),
    (422, "GET", "/api/v1/runs/{run}/profile/series"),
    (422, "GET", "/api/v1/runs/{run}/profile/series?name=beauty"),
    (422, "GET", "/api/v1/runs/{run}/profile/series?name=projection_std&points=3"),
    (422, "GET", f"/api/v1/runs/{{run}}/profile/series?name=projection_std&role={NUL}"),
    (422, "GET", "/api/v1/runs/{run}/compare"),
    (422, "GET", "/api/v1/runs/{run}/compare?with={run}"),
    (422, "GET", f"/api/v1/runs/{{run}}/compare?with={HUGE}"),
    (422, "GET", f"/api/v1/runs/{{run}}/compare?with_step={HUGE}"),
    (422, "GET", "/api/v1/runs/{run}/compare?with_step=0&stat=beauty"),
    (422, "GET", "/api/v1/runs/{run}/compare?with_step=0&" + "stat=std&" * 500),
    (422, "GET", f"/api/v1/runs/{{run}}/compare?with_step=0&tensor=a{NUL}b"),
    (422, "GET", "/api/v1/runs/{run}/export?stat=beauty"),
    (422, "GET", "/api/v1/runs/{run}/export?from=-1"),
    (422, "GET", f"/api/v1/runs/{{run}}/export?to={HUGE}"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "method", "path"), REFUSED)
def test_what_cannot_be_answered_is_a_problem_document(
    anyone: Caller, filled: Filled, status: int, method: str, path: str
) -> None:
    path = path.format(run=filled.run, tensor=filled.tensor).replace(" ", "%20")
    assert problem(anyone, method, path)[0] == status


@pytest.mark.parametrize(
    "cursor",
    ["x", "AAAA", "!!!!", "%FF%FE", "YWZ0ZXI6LTE=", "YWZ0ZXI6",
     "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
     "é", "😀", "=" * 64],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/api/v1/projects", "/api/v1/alerts", "/api/v1/runs/{run}/snapshots"]
)
def test_a_cursor_that_is_none_of_ours_is_refused(
    anyone: Caller, filled: Filled, path: str, cursor: str
) -> None:
    sent = cursor if "%" in cursor else quote(cursor)
    status, document = problem(anyone, "GET", f"{path.format(run=filled.run)}?cursor={sent}")
    assert (status, document["where"]) == (422, "cursor")


def test_a_method_that_a_path_does_not_know_is_answered_with_those_it_does(
    anyone: Caller, filled: Filled
) -> None:
    path = f"{anyone.server.url}/api/v1/runs/{filled.run}"
    assert asked("PUT", path).headers["Allow"] == "DELETE, GET, PATCH"
    assert asked("PUT", f"{path}/marks").headers["Allow"] == "GET"


def test_what_is_wrong_is_named(anyone: Caller, filled: Filled) -> None:
    _, document = problem(anyone, "GET", f"/api/v1/runs/{filled.run}/series?stat=std&points=3")
    assert document["where"] == "query.points"
    _, document = problem(anyone, "GET", f"/api/v1/runs/{filled.run}/scalars/lost")
    assert "loss, train/loss" in str(document["detail"])


def test_an_unknown_step_names_the_nearest(anyone: Caller, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/statistics?step=1000000"
    _, document = problem(anyone, "GET", path)
    assert "the nearest is at step 50" in str(document["detail"])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"display_name": 3}', b'{"retention_days": 0}',
     b'{"retention_days": -1}', b'{"retention_days": NaN}', b'{"retention_days": Infinity}',
     b'{"retention_days": 1e999}', b'{"display_name": "a\\u0000b"}', b'{"display_name": "\\ud800"}',
     b'{"run": "renamed"}', b'{"display_name": "' + b"x" * 513 + b'"}', b"[" * 60_000],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(anyone: Caller, filled: Filled, body: bytes) -> None:
    path = f"/api/v1/runs/{filled.run}"
    before = settled(anyone.get(path))
    sent = {**anyone.headers, "Content-Type": "application/json"}
    answer = asked("PATCH", anyone.server.url + path, body=body, headers=sent)
    assert answer.status in (400, 422), answer.data
    assert answer.headers["content-type"] == "application/problem+json"
    assert settled(anyone.get(path)) == before


@pytest.fixture
def breakable(tmp_path: Path) -> TestClient:
    """The application in this process, without its pipeline, with a route that fails."""
    app = create_app(Settings(data_dir=tmp_path), make_executor=ThreadPoolExecutor)

    def fail() -> None:
        raise RuntimeError("secret detail")

    app.add_api_route("/fail", fail)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def test_an_error_of_our_own_is_a_problem_that_tells_no_detail(breakable: TestClient) -> None:
    answer = breakable.get("/fail")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_a_database_that_fails_is_answered_with_when_to_try_again(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    with sqlite3.connect(server.data_dir / "bifurk.db") as database:
        database.execute("ALTER TABLE runs RENAME TO gone")
    database.close()
    answer = asked("GET", f"{server.url}/api/v1/runs", retries=False)
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


def test_readiness_ends_when_the_database_takes_no_writes(breakable: TestClient) -> None:
    answer = breakable.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert "pipeline" in answer.json()["detail"]
