"""A token's minute: what is beyond it is answered 429, and a client sends it again when it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from bifurk.losses import LossLedger
from bifurk.retry import Verdict, verdict
from bifurk.spool import Spool
from bifurk.sync import sync
from bifurk.testing import ManualClock
from bifurk.transport import Request, Response, Urllib3Transport
from bifurk.wire import AttemptReport, encode_attempt
from bifurk_service.access import Allowances
from bifurk_service.commands.rest import Rest, RestError
from bifurk_service.errors import TooManyError
from tests.api.conftest import make_token
from tests.api.filling import Caller
from tests.asking import asked
from tests.database import migrated
from tests.server import Server, wait_for

REQUESTS = 90
"""A minute of the test's server: one more every 0.67 s."""
UPLOAD_BYTES = 30_000
ONE, OTHER = 1, 2


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def refused(allowances: Allowances, token: int = ONE) -> int | None:
    """After how many seconds the token may try again; None: it is let in."""
    try:
        allowances.take(token)
    except TooManyError as error:
        return error.retry_after_seconds
    return None


class TestAllowances:
    def test_a_minutes_requests_may_come_at_once_and_then_one_by_one(
        self, clock: ManualClock
    ) -> None:
        allowances = Allowances(requests_per_minute=30, monotonic=clock.now)
        assert [refused(allowances) for _ in range(31)] == [None] * 30 + [2]
        clock.advance(1.5)
        assert refused(allowances) == 1
        clock.advance(0.5)
        assert [refused(allowances) for _ in range(2)] == [None, 2]
        clock.advance(3600.0)
        assert [refused(allowances) for _ in range(31)] == [None] * 30 + [2]

    def test_each_token_has_a_minute_of_its_own(self, clock: ManualClock) -> None:
        allowances = Allowances(requests_per_minute=1, monotonic=clock.now)
        assert [refused(allowances, token) for token in (ONE, ONE, OTHER, OTHER)] == [
            None, 60, None, 60,
        ]  # fmt: skip

    def test_an_upload_larger_than_a_minute_is_let_in_and_paid_back(
        self, clock: ManualClock
    ) -> None:
        allowances = Allowances(bytes_per_minute=6000, monotonic=clock.now)
        assert refused(allowances) is None
        allowances.charge(ONE, 16_000)
        assert refused(allowances) == 100
        assert refused(allowances, OTHER) is None
        clock.advance(99.0)
        assert refused(allowances) == 1
        clock.advance(1.0)
        assert refused(allowances) is None

    def test_a_refused_request_uses_nothing_up(self, clock: ManualClock) -> None:
        allowances = Allowances(requests_per_minute=60, bytes_per_minute=6000, monotonic=clock.now)
        allowances.charge(ONE, 7000)
        assert {refused(allowances) for _ in range(100)} == {10}
        clock.advance(10.0)
        assert [refused(allowances) for _ in range(61)] == [None] * 60 + [1]

    def test_without_limits_nobody_is_refused(self, clock: ManualClock) -> None:
        allowances = Allowances(monotonic=clock.now)
        allowances.charge(ONE, 1 << 40)
        assert {refused(allowances) for _ in range(1000)} == {None}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with limits, which it has once there is a token."""
    data_dir = tmp_path_factory.mktemp("limited") / "data"
    migrated(data_dir)
    make_token(data_dir, "first", "read")
    limits = {
        "BIFURK_REQUESTS_PER_MINUTE": str(REQUESTS),
        "BIFURK_UPLOAD_BYTES_PER_MINUTE": str(UPLOAD_BYTES),
    }
    server = Server(data_dir, limits)
    yield server
    server.stop()


def fresh_token(server: Server, scope: str, **confined: str) -> str:
    """A token whose minute nobody has begun to use."""
    return make_token(server.data_dir, "fresh", scope, **confined)


def newcomer(server: Server, scope: str, **confined: str) -> Caller:
    """Whoever calls with such a token."""
    return Caller(server, fresh_token(server, scope, **confined))


def use_up(caller: Caller, path: str) -> int:
    """Asks until it is refused; how many times it was let in."""
    for count in range(2 * REQUESTS):
        status, _ = caller.request("GET", path)
        if status == 429:
            return count
    raise AssertionError("nothing was refused")


def test_a_token_that_has_used_up_its_minute_is_told_when_to_come_again(limited: Server) -> None:
    reader = newcomer(limited, "read")
    assert use_up(reader, "/api/v1/runs") >= REQUESTS
    url = f"{limited.url}/api/v1/runs"
    answer = wait_for(lambda: refusal(url, reader.headers), "a refusal")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["title"] == "Too many requests"
    assert f"{REQUESTS} requests a minute" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) == 1
    assert newcomer(limited, "read").request("GET", "/api/v1/runs")[0] == 200
    assert Caller(limited).request("GET", "/api/v1/runs")[0] == 401
    assert Caller(limited).request("GET", "/healthz")[0] == 200


def refusal(url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse | None:
    answer = asked("GET", url, headers=headers, retries=False)
    return answer if answer.status == 429 else None


def test_what_a_token_may_not_do_counts_as_well(limited: Server) -> None:
    assert use_up(newcomer(limited, "admin", project="elsewhere"), "/metrics") >= REQUESTS


def test_bytes_of_refused_uploads_count(limited: Server) -> None:
    admin = newcomer(limited, "admin")
    path = "/api/v1/projects/tests/runs/large/attempts/first"
    assert admin.request("PUT", path, body=b"x" * (2 * UPLOAD_BYTES))[0] == 422
    status, problem = admin.request("GET", "/api/v1/runs")
    assert status == 429
    assert f"{UPLOAD_BYTES} bytes of uploads a minute" in problem["detail"]


def test_a_command_that_is_turned_away_says_so_at_once(limited: Server) -> None:
    rest = Rest(limited.url, fresh_token(limited, "read"))
    with pytest.raises(RestError, match="requests a minute") as turned_away:
        ask_often(rest)
    assert turned_away.value.answered == 429


def ask_often(rest: Rest) -> None:
    for _ in range(2 * REQUESTS):
        rest.get("/api/v1/runs")


class TurnedAway(Urllib3Transport):
    """Uses its token's minute up with its first request, and notes what was answered from then."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self.statuses: list[int] = []

    def send(self, request: Request, *, deadline_seconds: float) -> Response:
        response = super().send(request, deadline_seconds=deadline_seconds)
        while not self.statuses and response.status != 429:
            response = super().send(request, deadline_seconds=deadline_seconds)
        self.statuses.append(response.status)
        return response


def test_a_client_that_is_turned_away_delivers_in_the_end(limited: Server, tmp_path: Path) -> None:
    assert verdict(429) is Verdict.RETRY
    spool = Spool(tmp_path / "waiting", max_bytes=None, ledger=LossLedger(), target=None)
    for run in ("first", "second", "third"):
        path = f"/api/v1/projects/tests/runs/{run}/attempts/a1"
        body = encode_attempt(AttemptReport(state="running"))
        assert spool.append(Request(method="PUT", path=path, body=body, sequence=None))
    spool.close()
    transport = TurnedAway(limited.url, fresh_token(limited, "write"))
    summary = sync(tmp_path, connect=lambda _: transport, report=lambda _: None)
    transport.close()
    assert (summary.sent, summary.refused, summary.left) == (3, 0, 0)
    assert transport.statuses.count(200) == 3
    assert transport.statuses[0] == 429
