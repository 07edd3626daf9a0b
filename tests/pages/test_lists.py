"""The lists of runs, of alerts and of REST's operations, and the tags by which runs are found."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from bifurk.wire import AttemptReport, encode_attempt
from bifurk_service.pages.alerts import ALERTS_A_PAGE
from bifurk_service.pages.rendering import duration
from bifurk_service.store.models import AlertChange, StoredAlert
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.pages.serving import Browser, Served
from tests.pages.storing import open_store

TAG = "sweep:größe"


def text_of(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status == 200, answer.text
    return html.unescape(answer.text)


def alerts_in(text: str) -> list[int]:
    return [int(found) for found in re.findall(r'class="words"><a href="/alerts/(\d+)"', text)]


def runs_in(text: str) -> list[int]:
    return [int(found) for found in re.findall(r'<td class="name"><a href="/runs/(\d+)"', text)]


def test_a_tag_is_put_on_filters_and_is_taken_off(served: Served, admin: Browser) -> None:
    run = served.filled.run
    answer = admin.post(f"/runs/{run}?stat=mean", {"add": TAG})
    assert (answer.status, answer.headers["location"]) == (303, f"/runs/{run}?stat=mean")
    assert f"Remove tag {TAG}" in text_of(admin, f"/runs/{run}")
    for query in (f"tag={quote(TAG)}", f"search={quote(TAG[3:9])}"):
        listed = text_of(admin, f"/?{query}")
        assert runs_in(listed) == [run]
    assert f"Do not filter by tag {TAG}" in text_of(admin, f"/?tag={quote(TAG)}")
    assert "No run matches" in text_of(admin, f"/?tag={quote(TAG)}&tag=other")
    assert admin.post(f"/runs/{run}", {"remove": TAG}).status == 303
    assert TAG not in text_of(admin, f"/runs/{run}")
    assert "No run matches" in text_of(admin, f"/?tag={quote(TAG)}")


@pytest.mark.parametrize("form", [{"add": "two words"}, {"add": ""}, {"remove": "<b>"}, {}])
def test_what_is_no_tag_is_refused_on_a_page(
    served: Served, admin: Browser, form: dict[str, str]
) -> None:
    answer = admin.post(f"/runs/{served.filled.run}", form)
    assert answer.status == 422
    assert "expected a tag" in answer.text


def test_who_may_only_read_sees_tags_and_no_forms(served: Served, admin: Browser) -> None:
    run = served.filled.run
    reader = served.browsers["read"]
    admin.post(f"/runs/{run}", {"add": "kept"})
    shown = text_of(reader, f"/runs/{run}")
    assert ">kept</a>" in shown
    assert 'name="add"' not in shown
    assert reader.post(f"/runs/{run}", {"add": "mine"}).status == 403
    foreign = admin.post(f"/runs/{run}", {"add": "x"}, {"Sec-Fetch-Site": "cross-site"})
    assert foreign.status == 403


def test_alerts_are_listed_newest_first_and_lead_to_alert_and_run(
    served: Served, admin: Browser
) -> None:
    every = served.admin.get("/api/v1/alerts?limit=1000")["items"]
    whole = sorted((one["id"] for one in every if one["parent"] is None), reverse=True)
    shown = text_of(admin, "/alerts")
    assert alerts_in(shown) == whole[:ALERTS_A_PAGE]
    assert f'href="/runs/{served.filled.run}"' in shown
    assert every[0]["sentence"] in text_of(admin, "/alerts?parts=shown")


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("severity=critical", lambda one: one["severity"] == "critical"),
        ("state=unresolved", lambda one: one["state"] != "resolved"),
        ("state=resolved", lambda one: one["state"] == "resolved"),
        ("kind=non_finite", lambda one: one["kind"] == "non_finite"),
        ("project=other", lambda one: one["project"] == "other"),
        ("search=NaN", lambda one: "nan" in one["sentence"].lower()),
        ("search=secret", lambda one: one["run"] == "secret"),
        ("search=%25", lambda one: "%" in one["sentence"]),
        ("silenced=hidden", lambda one: one["silenced_by"] is None),
        ("kind=no-such-kind", lambda _one: False),
    ],
)
def test_alerts_are_found_by_what_they_are(
    served: Served, admin: Browser, query: str, holds: object
) -> None:
    assert callable(holds)
    every = served.admin.get("/api/v1/alerts?limit=1000")["items"]
    wanted = sorted((one["id"] for one in every if holds(one)), reverse=True)
    assert alerts_in(text_of(admin, f"/alerts?parts=shown&{query}")) == wanted


def test_a_badge_leads_to_as_many_alerts_as_it_says(served: Served, admin: Browser) -> None:
    badges = re.findall(
        r'href="(/alerts\?run=[^"]*)"><span class="badge \w+">(\d+) ', text_of(admin, "/")
    )
    assert badges
    for link, count in badges:
        assert len(alerts_in(text_of(admin, link))) == int(count), link


def test_a_confined_token_lists_no_alert_of_another_project(served: Served) -> None:
    elsewhere = served.browsers["elsewhere"]
    for query in ("", "?parts=shown", "?project=tests", "?search=secret"):
        assert alerts_in(text_of(elsewhere, f"/alerts{query}")) == []
    assert elsewhere.get(f"/alerts?run={served.filled.run}").status == 404


@pytest.mark.parametrize("query", ["severity=bad", "run=x", "before=0", "state=gone"])
def test_a_wrong_filter_is_refused_in_words(admin: Browser, query: str) -> None:
    answer = admin.get(f"/alerts?{query}")
    assert answer.status == 422
    assert query.partition("=")[0] in answer.text


@pytest.fixture
def told_often(served: Served) -> Iterator[tuple[int, int]]:
    """A run with more alerts than a page, and its last one; gone again at the end."""
    run, last = filled_with_alerts(served, ALERTS_A_PAGE + 5)
    yield run, last
    served.admin.request("DELETE", f"/api/v1/runs/{run}")


def test_long_lists_and_histories_come_page_by_page(
    admin: Browser, told_often: tuple[int, int]
) -> None:
    run, last = told_often
    first = text_of(admin, f"/alerts?run={run}&severity=info")
    assert len(alerts_in(first)) == ALERTS_A_PAGE
    [older] = re.findall(r'href="(/alerts\?[^"]*before=\d+[^"]*)"', first)
    second = text_of(admin, older)
    assert len(set(alerts_in(second)) | set(alerts_in(first))) == ALERTS_A_PAGE + 5
    assert "Older alerts" not in second
    whole = text_of(admin, f"/alerts/{last}")
    assert ("who-0" in whole, "who-104" in whole) == (True, False)
    [later] = re.findall(r'href="\?(after=\d+)#history"', whole)
    rest = text_of(admin, f"/alerts/{last}?{later}")
    assert ("who-0<" in rest, "who-104" in rest, "Later changes" in rest) == (False, True, False)


def filled_with_alerts(served: Served, count: int) -> tuple[int, int]:
    """A run with so many alerts, the last of which has changed as often: written into the store."""
    template = {
        column.key: None
        for column in StoredAlert.__table__.columns
        if column.key not in ("id", "parent", "fingerprint")
    }
    words = dict.fromkeys(("kind", "statistic", "sentence"), "told") | {"severity": "info"}
    lists = {name: [] for name in ("tensors", "explained_by")}
    numbers = dict.fromkeys(
        ("detected_step", "detected_sequence", "onset_first_step", "onset_last_step",
         "created_at", "updated_at"), 0,
    )  # fmt: skip
    with open_store(served).write() as session:
        run = ensure_run(session, project="lists", run="long", now=0.0)
        attempt = attempt_of(session, run, "first", now=0.0)
        owner = {"run_id": run.id, "attempt_id": attempt.id, "state": "firing", "evidence": {}}
        alerts = [
            StoredAlert(
                **{**template, **words, **lists, **numbers, **owner, "superseded": False},
                fingerprint=f"told-{number}",
            )
            for number in range(count)
        ]
        session.add_all(alerts)
        session.flush()
        for number in range(count):
            change = {"change": "grew", "state": "firing", "severity": "info"}
            session.add(
                AlertChange(alert_id=alerts[-1].id, at=float(number), who=f"who-{number}", **change)
            )
        return run.id, alerts[-1].id


def test_the_interface_is_described_without_another_host(served: Served) -> None:
    described = served.admin.get("/openapi.json")
    text = text_of(served.browsers["none"], "/docs")
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            assert f"<b>{method.upper()}</b> {path}</code>" in text
            assert one["operationId"] in text
    assert re.findall(r'(?:src|href)="(?!/|#)', text) == []


def test_how_often_snapshots_come_is_told(served: Served, admin: Browser) -> None:
    path = "/api/v1/projects/lists/runs/paced/attempts/first"
    body = encode_attempt(AttemptReport(state="running", interval_seconds=210.0))
    assert served.admin.request("PUT", path, body=body)[0] == 200
    assert "every 3.5 min" in text_of(admin, "/?search=paced")
    run = served.admin.run_id("lists", "paced")
    assert "one every 3.5 min" in text_of(admin, f"/runs/{run}")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.1432, "0.14 s"), (59.0, "59 s"), (90.0, "1.5 min"), (7200.0, "2 h"), (7.2e6, "2,000 h")],
)
def test_time_spans_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
