"""Signing in with a token, behind a prefix too; and who is kept out."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.api.conftest import make_tokens
from tests.pages.serving import Browser
from tests.server import Server

PREFIX = "/watch/bifurk"


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with tokens that a proxy publishes under a prefix."""
    data_dir = tmp_path_factory.mktemp("prefixed") / "data"
    tokens = make_tokens(data_dir)
    server = Server(data_dir, {"BIFURK_ROOT_PATH": PREFIX})
    yield server, tokens
    server.stop()


@pytest.mark.parametrize("strips", [True, False], ids=["proxy strips", "proxy keeps"])
def test_who_has_no_token_is_asked_and_comes_back_to_where_they_were(
    prefixed: tuple[Server, dict[str, str]], strips: bool
) -> None:
    server, tokens = prefixed
    before = "" if strips else PREFIX
    browser = Browser(server, None)
    sent = browser.get(f"{before}/?search=a%26b")
    assert sent.status == 303
    assert sent.headers["location"] == f"{PREFIX}/sign-in?next={quote('/?search=a%26b', safe='')}"
    form = browser.get(f"{before}/sign-in?next=/%3Fsearch%3Da")
    assert form.status == 200
    assert f'action="{PREFIX}/sign-in"' in form.text
    assert f'href="{PREFIX}/assets/page.css' in form.text
    done = browser.post(f"{before}/sign-in", {"token": tokens["read"], "next": "/?search=a"})
    assert (done.status, done.headers["location"]) == (303, f"{PREFIX}/?search=a")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Path={PREFIX}" in cookie


@pytest.mark.parametrize("token", ["", "wrong", "é" * 3000])
def test_an_unknown_token_is_told_so(prefixed: tuple[Server, dict[str, str]], token: str) -> None:
    answer = Browser(prefixed[0], None).post("/sign-in", {"token": token})
    assert answer.status in (401, 413)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "onward", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x=1"]
)
def test_signing_in_leads_nowhere_else(
    prefixed: tuple[Server, dict[str, str]], onward: str
) -> None:
    server, tokens = prefixed
    answer = Browser(server, None).post("/sign-in", {"token": tokens["read"], "next": onward})
    assert (answer.status, answer.headers["location"]) == (303, f"{PREFIX}/")
    assert "x=1" not in answer.headers["set-cookie"]


def test_a_cookie_opens_what_its_token_opens(prefixed: tuple[Server, dict[str, str]]) -> None:
    server, tokens = prefixed
    assert Browser(server, tokens["read"]).get("/").status == 200
    assert Browser(server, tokens["expired"]).get("/").status == 303
    assert Browser(server, tokens["write"]).get("/").status == 403
    out = Browser(server, tokens["read"]).post("/sign-out", {})
    assert out.status == 303
    assert 'bifurk_token=""' in out.headers["set-cookie"]


def test_no_other_site_s_page_changes_anything_by_a_cookie(
    prefixed: tuple[Server, dict[str, str]],
) -> None:
    server, tokens = prefixed
    for site in ("cross-site", "same-site"):
        answer = Browser(server, tokens["admin"]).post("/sign-out", {}, {"Sec-Fetch-Site": site})
        assert answer.status == 403


def test_pages_let_nothing_run_but_this_server_s_scripts(
    prefixed: tuple[Server, dict[str, str]],
) -> None:
    server, tokens = prefixed
    page = Browser(server, tokens["read"]).get("/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert Browser(server, None).get("/assets/../settings.py").status == 404
    assert Browser(server, None).get("/assets/bokeh.min.js").status == 200


@pytest.mark.parametrize(
    "query", ["state=odd", "before=0", "before=99999999999999999999", "search=" + "x" * 200]
)
def test_an_address_that_is_wrong_is_answered_by_a_page(
    prefixed: tuple[Server, dict[str, str]], query: str
) -> None:
    server, tokens = prefixed
    answer = Browser(server, tokens["read"]).get(f"/?{query}")
    assert answer.status == 422
    assert "<h1>Invalid</h1>" in answer.text
