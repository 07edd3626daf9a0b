"""Pages of other servers: they read nothing here, and change nothing, whoever is signed in."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from starlette.datastructures import Headers

from bifurk_service.api.origin import comes_from_elsewhere
from tests.api.filling import Caller, Filled, alerting_run
from tests.api.test_doorkeeper import exchange
from tests.api.test_openapi import OPERATIONS
from tests.server import Server

FOREIGN = "https://evil.example"
COOKIE = "theme=dark; bifurk_token=1-abc"


@pytest.fixture(scope="module")
def changed(anyone: Caller) -> tuple[int, int]:
    """A run, and its alert, that are there to be changed."""
    return alerting_run(anyone, "foreign", "changed")


@pytest.mark.parametrize("where", sorted({path for _, path in map(str.split, OPERATIONS.values())}))
def test_no_path_tells_browsers_that_other_sites_may_use_it(
    open_server: Server, filled: Filled, where: str
) -> None:
    path = where.replace("{run_id}", str(filled.run)).replace("{alert_id}", str(filled.alert))
    path = path.replace("{tensor_id}", str(filled.tensor))
    asked = {
        "Host": "localhost",
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    status, headers, _ = exchange(open_server, "OPTIONS", path, asked)
    assert status in (404, 405)
    assert not [name for name in headers if name.startswith("access-control-")]


def test_an_answer_to_another_site_s_page_is_not_for_its_scripts(
    open_server: Server, filled: Filled
) -> None:
    for path in ("/api/v1/runs", f"/runs/{filled.run}", "/metrics", "/healthz"):
        asked = {"Host": "localhost", "Origin": FOREIGN}
        status, headers, _ = exchange(open_server, "GET", path, asked)
        assert status == 200
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"Origin": FOREIGN}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://["}, True),
        ({"Origin": FOREIGN, "Cookie": COOKIE}, True),
        ({"Cookie": COOKIE}, True),
        ({"Cookie": COOKIE, "Sec-Fetch-Site": "cross-site"}, True),
        ({"Cookie": COOKIE, "Sec-Fetch-Site": "same-site"}, True),
        ({"Cookie": COOKIE, "Sec-Fetch-Site": "same-origin"}, False),
        ({"Cookie": "theme=dark"}, False),
        ({}, False),
    ],
)
def test_a_change_needs_proof_that_no_other_page_sent_it(
    open_server: Server, changed: tuple[int, int], said: dict[str, str], *, refused: bool
) -> None:
    run, alert = changed
    place = urlsplit(open_server.url).netloc
    headers = {"Host": place, "Content-Length": "0", **said}
    for method, path in (
        ("POST", f"/runs/{run}"),
        ("POST", f"/api/v1/alerts/{alert}/acknowledge"),
        ("DELETE", f"/api/v1/runs/{run}/tags/none"),
        ("POST", "/sign-out"),
    ):
        status, _, body = exchange(open_server, method, path, headers)
        assert (status == 403) is refused, (method, path, status, body)
        own = {**headers, "Origin": f"http://{place}"}
        status, _, _ = exchange(open_server, method, path, own)
        assert (status == 403) is ("Sec-Fetch-Site" in said and refused)


def test_behind_a_proxy_the_public_address_is_ours() -> None:
    def foreign(public_url: str | None, origin: str) -> bool:
        said = Headers({"host": "127.0.0.1:8700", "origin": origin, "cookie": COOKIE})
        return comes_from_elsewhere(said, public_url=public_url)

    public = "http://bifurk.example.org:8080/watch"
    assert not foreign(public, "http://bifurk.example.org:8080")
    assert foreign(public, "http://bifurk.example.org")
    assert foreign(None, "http://bifurk.example.org:8080")
    assert not foreign(None, "http://127.0.0.1:8700")
