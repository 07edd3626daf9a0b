"""The report of a run: one file that needs nothing else, runs nothing else, and says what is so."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import Any

import pytest

from bifurk_service.domain import Severity
from tests.pages.forked import HOSTILE
from tests.pages.serving import Answer, Browser, Served

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
DATA = re.compile(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', re.DOTALL)
NAME = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def answer(served: Served) -> Answer:
    """The report, made once."""
    return served.browsers["read"].get(f"/runs/{served.forked}/report")


@pytest.fixture
def text(answer: Answer) -> str:
    return answer.text


def figures(text: str) -> dict[str, Any]:
    return {name: json.loads(item) for name, item in DATA.findall(text)}


def test_the_file_is_a_download_named_after_the_run(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"] == 'attachment; filename="bifurk-forked.html"'


def test_it_asks_for_nothing_and_runs_only_what_its_policy_names(text: str) -> None:
    bare = SCRIPT.sub("", DATA.sub("", text))
    assert "<script" not in bare
    assert re.findall(r'(?:src|<link[^>]*href)="(?!data:)', bare) == []
    assert "@import" not in bare
    assert "url(" not in bare
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in SCRIPT.findall(text)
    ]
    assert len(hashes) == 3
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "unsafe" not in policy.partition("style-src")[0]


def test_the_header_says_the_same_policy(answer: Answer) -> None:
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', answer.text)
    assert answer.headers["content-security-policy"].startswith(html.unescape(policy))


def test_it_holds_facts_alerts_and_tensors_of_the_run(served: Served, text: str) -> None:
    said = html.unescape(text)
    run = served.admin.get(f"/api/v1/runs/{served.forked}")
    assert f"forks/{run['run']}" in said
    assert run["readiness"]["text"] in said
    fork = served.alert("branch_split")
    assert fork["sentence"] in said
    for tensor in served.admin.get(f"/api/v1/runs/{served.forked}/tensors")["items"]:
        assert tensor["name"] in said


def test_every_figure_is_there_in_light_and_dark(served: Served, text: str) -> None:
    told = [
        alert["id"]
        for alert in served.admin.get(f"/api/v1/alerts?run={served.forked}")["items"]
        if Severity(alert["severity"]) is not Severity.INFO and not alert.get("parent")
    ]
    names = {"overview", *(f"alert-{number}" for number in told)}
    found = figures(text)
    assert set(found) == {f"{name}-{theme}" for name in names for theme in ("light", "dark")}
    for item in found.values():
        assert item["doc"]["roots"]
    for name in re.findall(r'id="([\w-]+)" data-drawn', text):
        assert name in names


def test_links_are_whole_addresses(served: Served, text: str) -> None:
    bare = SCRIPT.sub("", DATA.sub("", text))
    links = [link for link in re.findall(r'<a [^>]*href="([^"]*)"', bare) if link != "#main"]
    assert links
    assert all(link.startswith(f"{served.server.url}/") for link in links)
    overview = json.dumps(figures(text)["overview-light"])
    assert f"{served.server.url}/alerts/" in overview
    assert '"/alerts/' not in overview


def test_texts_from_users_are_inert(served: Served, reader: Browser) -> None:
    with served.renamed(NAME):
        text = reader.get(f"/runs/{served.forked}/report").text
    assert html.escape(NAME) in text
    assert NAME not in text
    assert HOSTILE not in text, "a mark's text, in the data of a figure"
    for item in DATA.findall(text):
        assert "<" not in item[1]
    assert len(SCRIPT.findall(text)) == 3


def test_a_run_without_anything_is_reported_too(served: Served, reader: Browser) -> None:
    served.admin.report("forks", "nothing")
    run = served.admin.run_id("forks", "nothing")
    answer = reader.get(f"/runs/{run}/report")
    assert answer.status == 200
    assert "Nothing to draw." in answer.text
    assert "Nothing was told of this run." in answer.text
    assert figures(answer.text) == {}


def test_a_view_may_choose_the_statistic(served: Served, reader: Browser) -> None:
    chosen = reader.get(f"/runs/{served.forked}/report?stat=rms").text
    assert "rms, change since its first value" in json.dumps(figures(chosen)["overview-light"])
    assert reader.get(f"/runs/{served.forked}/report?stat=no-such").status == 422


def test_only_who_may_read_the_run_gets_it(served: Served) -> None:
    path = f"/runs/{served.forked}/report"
    assert served.browsers["elsewhere"].get(path).status == 404
    assert served.browsers["none"].get(path, Accept="*/*").status == 401
    assert served.browsers["read"].get("/runs/999999/report").status == 404
