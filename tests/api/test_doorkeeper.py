"""What is turned away before any route: other names, other sites, bodies without end."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.api.filling import Caller, Filled
from tests.server import Server

PROBLEM = "application/problem+json"


def exchange(
    server: Server,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Iterator[bytes] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """A request with exactly these headers; Host among them, or left out."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body, encode_chunked=body is not None and "Content-Length" not in headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "["]
)
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/runs", "/openapi.json", "/no-such-path"])
def test_a_name_that_is_not_ours_is_refused(open_server: Server, host: str, path: str) -> None:
    status, headers, body = exchange(open_server, "GET", path, {"Host": host})
    assert status == 400
    assert headers["content-type"] == PROBLEM
    assert b"Host" in body


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8700", "127.0.0.1:1", "[::1]", "[::1]:80"]
)
def test_names_of_loopback_are_ours(open_server: Server, host: str) -> None:
    status, _, _ = exchange(open_server, "GET", "/healthz", {"Host": host})
    assert status == 200


def test_the_address_listened_on_is_ours_too(start_server: Callable[..., Server]) -> None:
    other_loopback = start_server(BIFURK_HOST="127.0.0.2")
    assert urlsplit(other_loopback.url).hostname == "127.0.0.2"
    assert other_loopback.get("/healthz")
    status, _, _ = exchange(other_loopback, "GET", "/healthz", {"Host": "evil.example"})
    assert status == 400


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_changes_nothing(
    open_server: Server, filled: Filled, site: str
) -> None:
    headers = {"Host": "localhost", "Sec-Fetch-Site": site, "Content-Length": "0"}
    path = f"/api/v1/alerts/{filled.alert}/resolve"
    status, _, _ = exchange(open_server, "POST", path, headers)
    assert status == 403
    status, _, _ = exchange(open_server, "GET", "/api/v1/runs", headers)
    assert status == 200


def test_a_body_beyond_reason_is_not_read(open_server: Server, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}"
    announced = {"Host": "localhost", "Content-Length": str(10**12)}
    status, headers, _ = exchange(open_server, "PATCH", path, announced)
    assert (status, headers["content-type"]) == (413, PROBLEM)


def test_a_body_without_end_is_not_read_to_it(open_server: Server, filled: Filled) -> None:
    chunks: Iterator[bytes] = iter([b'{"display_name": "' + b"x" * 70_000, b'"}'])
    headers = {"Host": "localhost", "Transfer-Encoding": "chunked"}
    status, answered, _ = exchange(
        open_server, "PATCH", f"/api/v1/runs/{filled.run}", headers, chunks
    )
    assert (status, answered["content-type"]) == (413, PROBLEM)


def test_head_answers_as_get_without_a_body(open_server: Server, filled: Filled) -> None:
    for path in ("/healthz", f"/api/v1/runs/{filled.run}", "/metrics"):
        _, got, body = exchange(open_server, "GET", path, {"Host": "localhost"})
        status, headers, nothing = exchange(open_server, "HEAD", path, {"Host": "localhost"})
        assert (status, nothing) == (200, b"")
        assert headers["content-type"] == got["content-type"]
        assert body


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/api/v1/runs", "localhost"),
        ("/api/v1/runs/999999", "localhost"),
        ("/healthz", "localhost"),
        ("/metrics", "localhost"),
        ("/assets/icon.svg", "localhost"),
        ("/healthz", "evil.example"),
    ],
)
def test_what_is_no_page_runs_nothing_and_serves_no_other_site(
    open_server: Server, path: str, host: str
) -> None:
    _, headers, _ = exchange(open_server, "GET", path, {"Host": host})
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


def test_a_page_keeps_its_own_policy(open_server: Server) -> None:
    _, headers, _ = exchange(open_server, "GET", "/docs", {"Host": "localhost"})
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_stream_has_no_head(open_server: Server) -> None:
    status, headers, _ = exchange(open_server, "HEAD", "/api/v1/stream", {"Host": "localhost"})
    assert (status, headers["allow"]) == (405, "GET")


def test_the_root_is_the_list_of_runs(anyone: Caller) -> None:
    status, page = anyone.request("GET", "/")
    assert status == 200
    assert "<h1>Runs</h1>" in page
