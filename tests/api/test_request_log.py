"""What a server writes of its requests and snapshots: a line each, by one id, without a secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from tests.api.conftest import make_tokens
from tests.api.filling import BROKEN_AT, Caller, broken_part
from tests.asking import asked
from tests.server import Server, wait_for

ALERTS = """
channels:
  ops:
    type: webhook
    url: http://127.0.0.1:9/secret-path?key=secret-key
    secret_env: HOOK_SECRET
"""
JUDGED = f"bifurk_judged_after_seconds_count {BROKEN_AT + 1}.0"
"""Counted a moment after it is stored."""
SECRETS = ("secret-path", "secret-key", "secret-of-the-hook", "secret-query", "secret-body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A server that was used in many ways, its tokens, and what it wrote until it had stopped."""

    tokens: dict[str, str]
    answers: dict[str, urllib3.BaseHTTPResponse]
    metrics: str
    said: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line but that which says where it listens and that it stopped."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    def of(self, request: str) -> list[dict[str, Any]]:
        """The lines of one request."""
        return [line for line in self.lines if line.get("request") == request]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Session:
    data_dir = tmp_path_factory.mktemp("logged") / "data"
    tokens = make_tokens(data_dir)
    alerts_file = data_dir.parent / "alerts.yaml"
    alerts_file.write_text(ALERTS)
    server = Server(
        data_dir,
        {
            "BIFURK_LOG_FORMAT": "json",
            "BIFURK_LOG_LEVEL": "debug",
            "BIFURK_ALERTS_FILE": str(alerts_file),
            "HOOK_SECRET": "secret-of-the-hook",
            "BIFURK_NOTIFY_PRIVATE_ADDRESSES": "true",
        },
    )
    try:
        answers = use(server, tokens)
        channel_failed = "channel ops"
        wait_for(lambda: channel_failed in server.said(), "the channel's failure in the log")
        admin = Caller(server, tokens["admin"])
        wait_for(lambda: JUDGED in admin.get("/metrics"), "all that is judged in the metrics")
        metrics = admin.get("/metrics")
    finally:
        server.stop()
    return Session(tokens=tokens, answers=answers, metrics=metrics, said=server.said())


def use(server: Server, tokens: dict[str, str]) -> dict[str, urllib3.BaseHTTPResponse]:
    """A run that raises an alert; then requests of every kind, by the id each is sent with."""
    admin = Caller(server, tokens["admin"])
    for sequence in range(BROKEN_AT + 1):
        admin.post_part(broken_part(sequence))
    admin.wait_until_judged(admin.run_id("tests", "run"), BROKEN_AT + 1)
    bearer = {"Authorization": f"Bearer {tokens['read']}"}
    form = urlencode({"token": tokens["admin"], "next": "/"})
    wrong = urlencode({"token": "bifurk_1_secret-body-of-a-form"})
    is_form = {"Content-Type": "application/x-www-form-urlencoded"}
    part = "/api/v1/projects/tests/runs/run/attempts/first/snapshots/1/parts/0"
    requests: dict[str, tuple[str, str, dict[str, str], str | None]] = {
        "read": ("GET", "/api/v1/runs?tag=secret-query", bearer, None),
        "head": ("HEAD", "/api/v1/runs/1", bearer, None),
        "absent": ("GET", "/secret-query/no-such-path", bearer, None),
        "missing": ("GET", "/api/v1/runs", {}, None),
        "unknown": ("GET", "/api/v1/runs", {"Authorization": "Bearer bifurk_9_secret-body"}, None),
        "scope": ("PUT", part, bearer, "secret-body"),
        "invalid": (
            "PUT", part, {"Authorization": f"Bearer {tokens['write']}"}, "secret-body",
        ),
        "sign-in": ("POST", "/sign-in", is_form, form),
        "wrong-sign-in": ("POST", "/sign-in", is_form, wrong),
        "cookie": ("GET", "/", {"Cookie": f"bifurk_token={tokens['admin']}"}, None),
        "host": ("GET", "/api/v1/runs", {"Host": "evil.example"}, None),
    }  # fmt: skip
    return {
        name: asked(
            method,
            server.url + path,
            headers={"X-Request-ID": name, **headers},
            body=body,
            redirect=False,
        )
        for name, (method, path, headers, body) in requests.items()
    }


def test_no_secret_is_written(used: Session) -> None:
    found = [secret for secret in (*SECRETS, *used.tokens.values()) if secret in used.said]
    assert found == []
    parts = [token.split("_", 2)[2] for token in used.tokens.values()]
    assert not any(part in used.said for part in parts)
    assert "Bearer" not in used.said
    assert any("channel ops" in line["message"] for line in used.lines)


def test_every_request_has_its_one_line(used: Session) -> None:
    for name, answer in used.answers.items():
        assert answer.headers["X-Request-ID"] == name
        [line] = [line for line in used.of(name) if line["logger"] == "bifurk.access"]
        assert (line["status"], line["level"]) == (answer.status, "info")
        assert 0 <= line["seconds"] < 60
        assert line["sent"] == len(answer.data) or line["method"] == "HEAD"


@pytest.mark.parametrize(
    ("name", "route", "said"),
    [
        ("read", "/api/v1/runs", {"token": 2, "received": 0}),
        ("head", "/api/v1/runs/{run_id}", {"method": "HEAD", "run_id": "1", "token": 2}),
        ("absent", "none", {"status": 404}),
        ("missing", "/api/v1/runs", {"status": 401, "refused": "token_missing"}),
        ("unknown", "/api/v1/runs", {"status": 401, "refused": "token_unknown"}),
        ("invalid", None, {"token": 1, "refused": "invalid", "run": "run", "received": 11}),
        ("scope", None, {"token": 2, "refused": "scope", "project": "tests"}),
        ("cookie", "/", {"token": 3, "status": 200}),
        ("host", "none", {"status": 400, "refused": "host"}),
    ],
)
def test_a_line_says_what_was_asked_and_by_whom(
    used: Session, name: str, route: str | None, said: dict[str, object]
) -> None:
    [line] = [line for line in used.of(name) if line["logger"] == "bifurk.access"]
    assert {key: line.get(key) for key in said} == said
    assert route is None or line["route"] == route


def test_a_problem_names_its_request(used: Session) -> None:
    for name in ("absent", "missing", "scope", "invalid", "host"):
        assert used.answers[name].json()["request_id"] == name


def test_lines_of_the_pipeline_say_which_snapshot(used: Session) -> None:
    for word, order in (("measured in", sorted), ("judged, ", list)):
        lines = [line for line in used.lines if line["message"].startswith(word)]
        # Several are measured at once, and end in any order.
        assert order(line["sequence"] for line in lines) == list(range(BROKEN_AT + 1))
        assert {(line["run_id"], line["attempt"]) for line in lines} == {(1, "first")}


def test_probes_are_told_at_debug_alone(used: Session) -> None:
    probes = [line for line in used.lines if line.get("route") in ("/healthz", "/metrics")]
    assert {line["level"] for line in probes} == {"debug"}


def test_everything_written_is_of_one_form(used: Session) -> None:
    others = [line for line in used.said.splitlines() if not line.startswith("{")]
    assert all(re.match(r"bifurk (listens on|has stopped)", line) for line in others), others


def test_metrics_count_the_same_requests(used: Session) -> None:
    for reason in ("token_missing", "token_unknown", "scope", "invalid", "host"):
        assert f'bifurk_requests_refused_total{{reason="{reason}"}} 1.0' in used.metrics
    assert 'route="/api/v1/runs/{run_id}",status="200"} ' in used.metrics
    assert 'bifurk_requests_total{method="GET",route="none",status="404"} 1.0' in used.metrics
    assert JUDGED in used.metrics
