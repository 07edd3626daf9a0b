"""The page of an alert: what it tells, what it draws, and who may move the alert there."""

from __future__ import annotations

import csv
import html
import io
import json
from typing import Any

import numpy as np
import pytest

from bifurk_service.pages.alert_seen import window
from bifurk_service.store.models import StoredAlert
from tests.pages.forked import HOSTILE
from tests.pages.serving import Browser, Served


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_page_tells_what_happened_and_what_it_may_mean(served: Served, admin: Browser) -> None:
    alert = served.alert("branch_split")
    text = html.unescape(admin.get(f"/alerts/{alert['id']}").text)
    for told in (
        alert["sentence"],
        "branch_split at step",
        "in 10,000 snapshots of a series",
        "The layers of one role parted into two groups",
        f"/runs/{served.forked}/tensors/{alert['tensors'][0]['id']}",
        f"/runs/{served.forked}/branches?role=mlp.up",
        f"/api/v1/alerts/{alert['id']}/evidence",
        "tensor: blocks.*.mlp.up.weight",
        "28.pt",
        "raised",
    ):
        assert told in text, told


def test_a_part_and_its_whole_link_to_one_another(served: Served, admin: Browser) -> None:
    part = served.alert("branch_split")
    assert part["parent"] is not None
    assert f'href="/alerts/{part["parent"]}"' in admin.get(f"/alerts/{part['id']}").text
    assert f'href="/alerts/{part["id"]}"' in admin.get(f"/alerts/{part['parent']}").text


def test_the_evidence_holds_the_tensors_the_onset_and_the_runs_marks(
    served: Served, admin: Browser
) -> None:
    alert = served.alert("branch_split")
    drawn = json.dumps(admin.json(f"/alerts/{alert['id']}/figures/evidence?span=run"))
    for name in ("blocks.0.mlp.up.weight", "blocks.7.mlp.up.weight", "BoxAnnotation", "loss"):
        assert name in drawn
    for kind in ("evaluation", "learning_rate", "upper branch", "lower branch"):
        assert kind in drawn


def test_every_control_draws(served: Served, admin: Browser) -> None:
    alert = served.alert("non_finite", served.filled.run)
    path = f"/alerts/{alert['id']}/figures/evidence"
    for query in ("", "?span=run", "?axis=log&others=hidden&values=linear", "?from=999999&to=3"):
        assert admin.json(path + query)["doc"]


@pytest.mark.parametrize(
    ("first", "detected", "shown"),
    [
        (5000, 5100, (4700, 5400)),
        (2000, 7000, (0, 9990)),
        (0, 20, (0, 320)),
        (9990, 20_000, (9690, 9990)),
    ],
)
def test_around_the_onset_means_as_long_again_on_either_side(
    first: int, detected: int, shown: tuple[int, int]
) -> None:
    alert = StoredAlert(onset_first_step=first, detected_step=detected)
    assert window(np.arange(0, 10_000, 10), alert) == shown


def test_another_statistic_can_be_asked_for_and_only_one_that_there_is(
    served: Served, admin: Browser
) -> None:
    path = f"/alerts/{served.alert('branch_split')['id']}/figures/evidence"
    assert "stable_rank" in json.dumps(admin.json(f"{path}?stat=stable_rank"))
    assert admin.get(f"{path}?stat=no_such").status == 422


def test_the_data_is_of_all_tensors_over_the_whole_run(served: Served, admin: Browser) -> None:
    alert = served.alert("branch_split")
    found = rows(admin.get(f"/alerts/{alert['id']}/figures/evidence.csv").text)
    assert {row["tensor"] for row in found} == {one["name"] for one in alert["tensors"]}
    assert {int(row["step"]) for row in found} >= {0, 430}
    onsets = rows(admin.get(f"/alerts/{alert['id']}/figures/onsets.csv").text)
    assert [row["name"] for row in onsets] == [one["name"] for one in alert["tensors"]]
    assert {row["branch"] for row in onsets} == {"0", "1"}


def test_onsets_are_drawn_in_order(served: Served, admin: Browser) -> None:
    alert = served.alert("branch_split")
    drawn = json.dumps(admin.json(f"/alerts/{alert['id']}/figures/onsets"))
    places = [drawn.index(f'"{one["name"]}"') for one in alert["tensors"]]
    assert places == sorted(places)


def test_what_users_wrote_is_text(served: Served, admin: Browser) -> None:
    alert = served.alert("path_fork")
    answer = admin.post(f"/alerts/{alert['id']}", {"move": "acknowledge", "note": HOSTILE})
    assert answer.status == 303
    text = admin.get(f"/alerts/{alert['id']}").text
    assert HOSTILE not in text
    assert html.escape(HOSTILE) in text


def test_a_form_acknowledges_then_resolves_and_leads_back(served: Served, admin: Browser) -> None:
    alert = served.alert("non_finite", served.filled.run)
    answer = admin.post(
        f"/alerts/{alert['id']}?span=run", {"move": "acknowledge", "note": " looking é "}
    )
    assert (answer.status, answer.headers["location"]) == (303, f"/alerts/{alert['id']}?span=run")
    text = admin.get(f"/alerts/{alert['id']}").text
    assert "looking é" in text
    assert 'value="acknowledge"' not in text
    assert admin.post(f"/alerts/{alert['id']}", {"move": "resolve", "note": ""}).status == 303
    text = admin.get(f"/alerts/{alert['id']}").text
    assert 'name="move"' not in text
    assert "admin resolved it" in text
    history = served.admin.get(f"/api/v1/alerts/{alert['id']}/history")["items"]
    assert [(one["change"], one["who"], one["note"]) for one in history[-2:]] == [
        ("acknowledged", "admin", "looking é"),
        ("resolved", "admin", None),
    ]
    back = admin.post(f"/alerts/{alert['id']}", {"move": "acknowledge"})
    assert (back.status, back.headers["content-type"].split(";")[0]) == (409, "text/html")


@pytest.mark.parametrize("fields", [{}, {"move": "dance"}, {"move": "resolve", "note": "x" * 2001}])
def test_what_no_form_of_ours_sends_is_refused(
    served: Served, admin: Browser, fields: dict[str, str]
) -> None:
    alert = served.alert("branch_split")
    assert admin.post(f"/alerts/{alert['id']}", fields).status == 422
    assert served.alert("branch_split")["state"] == alert["state"]


def test_a_reader_sees_the_page_and_moves_nothing(served: Served) -> None:
    reader, alert = served.browsers["read"], served.alert("branch_split")
    text = reader.get(f"/alerts/{alert['id']}").text
    assert 'name="move"' not in text
    assert "scope <code>admin</code>" in text
    assert "alerts.yaml" not in text, "where files lie is no reader's business"
    answer = reader.post(f"/alerts/{alert['id']}", {"move": "resolve"})
    assert answer.status == 403
    assert "admin" in answer.text
    assert "<h1>" in answer.text
    assert served.alert("branch_split")["state"] == alert["state"]


def test_an_admin_is_told_which_file_silences(served: Served, admin: Browser) -> None:
    assert "alerts.yaml" in admin.get(f"/alerts/{served.alert('branch_split')['id']}").text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_is_refused(served: Served, admin: Browser, site: str) -> None:
    alert = served.alert("branch_split")
    answer = admin.post(f"/alerts/{alert['id']}", {"move": "resolve"}, {"Sec-Fetch-Site": site})
    assert answer.status == 403
    assert served.alert("branch_split")["state"] == alert["state"]


def test_who_has_no_token_signs_in_and_comes_back_to_the_page(served: Served) -> None:
    path = f"/alerts/{served.filled.alert}"
    for answer in (
        served.browsers["none"].get(path),
        served.browsers["none"].post(path, {"move": "resolve"}),
    ):
        assert answer.status == 303
        assert answer.headers["location"] == f"/sign-in?next=%2Falerts%2F{served.filled.alert}"


def test_what_is_elsewhere_is_hidden(served: Served) -> None:
    elsewhere = served.browsers["elsewhere"]
    for path in ("", "/figures/evidence", "/figures/onsets.csv"):
        assert elsewhere.get(f"/alerts/{served.filled.alert}{path}").status == 404
    assert elsewhere.post(f"/alerts/{served.filled.alert}", {"move": "resolve"}).status == 404


def test_an_alert_that_is_not_there_is_a_page_that_says_so(admin: Browser) -> None:
    answer = admin.get("/alerts/999999")
    assert answer.status == 404
    assert "<h1>" in answer.text


def test_every_alert_there_is_has_a_page_and_figures(served: Served, admin: Browser) -> None:
    alerts: list[dict[str, Any]] = served.admin.get("/api/v1/alerts")["items"]
    assert len({alert["kind"] for alert in alerts}) >= 3
    for alert in alerts:
        page = admin.get(f"/alerts/{alert['id']}")
        assert page.status == 200
        assert "unsafe-eval" not in page.headers["content-security-policy"]
        for figure in ("evidence", "onsets"):
            assert admin.get(f"/alerts/{alert['id']}/figures/{figure}").status in (200, 204)
