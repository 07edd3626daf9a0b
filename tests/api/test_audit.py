"""The audit log: what people and jobs change is in it, once, in whose name and from where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bifurk_service.store.audit import Action, Actor, acts, record_act, trim_acts
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import create_token, list_tokens, revoke_token, rotate_token
from tests.api.conftest import CHANNEL, Guarded
from tests.api.filling import Caller, alerting_run
from tests.database import fresh_database

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def admin(guarded: Guarded) -> Caller:
    return guarded.callers["admin"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def entries(admin: Caller, target: str, **query: str) -> list[dict[str, Any]]:
    asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    listed = admin.get(f"/api/v1/audit?limit=1000&{asked}")["items"]
    return [entry for entry in listed if target in entry["target"]]


def done(admin: Caller, target: str) -> list[tuple[str, str, str | None]]:
    return [(one["who"], one["action"], one["detail"]) for one in entries(admin, target)]


def run_of(admin: Caller, name: str) -> int:
    admin.report("audited", name)
    return admin.run_id("audited", name)


def test_what_is_done_to_a_run_is_written_down_and_outlives_it(admin: Caller) -> None:
    path = f"/api/v1/runs/{run_of(admin, 'changed')}"
    change = json.dumps({"display_name": "a name", "retention_days": 30}).encode()
    assert admin.request("PATCH", path, body=change, headers=JSON)[0] == 200
    assert admin.request("PUT", f"{path}/tags/good")[0] == 200
    assert admin.request("DELETE", f"{path}/tags/good")[0] == 200
    assert admin.request("DELETE", path)[0] == 204
    assert done(admin, "audited/changed") == [
        ("admin", "run_changed", "display_name 'a name', retention_days 30.0"),
        ("admin", "tag_added", "good"),
        ("admin", "tag_removed", "good"),
        ("admin", "run_deleted", None),
    ]
    [deleted] = entries(admin, "audited/changed", action="run_deleted")
    assert deleted["address"] == "127.0.0.1"
    assert deleted["token"] == int(admin.headers["Authorization"].split("_")[1])


def test_what_was_refused_is_not_written_down(guarded: Guarded, admin: Caller) -> None:
    path = f"/api/v1/runs/{run_of(admin, 'untouched')}"
    assert admin.request("PUT", f"{path}/tags/{'x' * 500}")[0] == 422
    assert guarded.callers["read"].request("DELETE", path)[0] == 403
    assert done(admin, "audited/untouched") == []


def test_forms_of_the_page_are_written_down_as_well(admin: Caller) -> None:
    run, alert = alerting_run(admin, "audited", "formed")
    path = f"/runs/{run}"
    for body in (b"add=seen", b"remove=seen"):
        assert admin.request("POST", path, body=body, headers=FORM)[0] == 303
    for move in ("acknowledge", "acknowledge", "resolve"):
        form = f"move={move}&note=known".encode()
        assert admin.request("POST", f"/alerts/{alert}", body=form, headers=FORM)[0] == 303
    assert admin.request("POST", f"/api/v1/alerts/{alert}/resolve")[0] == 200
    assert [(action, detail) for _, action, detail in done(admin, "audited/formed")] == [
        ("tag_added", "seen"),
        ("tag_removed", "seen"),
        ("alert_acknowledged", None),
        ("alert_resolved", None),
    ]
    assert entries(admin, f"alert {alert} of audited/formed", who="admin")


def test_an_import_is_put_down_to_the_job_that_made_it(guarded: Guarded, admin: Caller) -> None:
    job = guarded.callers["write"]
    wanted = json.dumps({"project": "audited", "run": "imported"}).encode()
    for status in (201, 200):
        assert job.request("POST", "/api/v1/runs", body=wanted, headers=JSON)[0] == status
    path = f"/api/v1/runs/{admin.run_id('audited', 'imported')}/series"
    table = b"step,statistic,value\n0,loss,2.5\n1,loss,2.25\n"
    for _ in range(2):
        assert job.request("POST", path, body=table, headers={"Content-Type": "text/csv"})[0] == 200
    assert done(admin, "audited/imported") == [
        ("write", "run_made", None),
        ("write", "series_imported", "2 values at 2 steps"),
    ]


def test_a_kept_replay_is_written_down_and_another_is_not(admin: Caller) -> None:
    run, _ = alerting_run(admin, "audited", "replayed")
    path = f"/api/v1/runs/{run}/replay"
    for body in (b"{}", b'{"keep": true}'):
        assert admin.request("POST", path, body=body, headers=JSON)[0] == 200
    assert done(admin, "audited/replayed") == [("admin", "replay_kept", "0 alerts")]


def test_a_test_of_a_channel_is_written_down_without_its_address(admin: Caller) -> None:
    assert admin.request("POST", f"/api/v1/channels/{CHANNEL}/test")[0] == 200
    assert done(admin, f"channel {CHANNEL}")[-1] == ("admin", "channel_tested", "not delivered")
    assert "secret-path" not in json.dumps(admin.get("/api/v1/audit?limit=1000"))


def test_behind_a_proxy_on_this_machine_the_address_is_who_came_to_it(admin: Caller) -> None:
    path = f"/api/v1/runs/{run_of(admin, 'proxied')}/tags/far"
    assert admin.request("PUT", path, headers={"X-Forwarded-For": "203.0.113.7"})[0] == 200
    assert [one["address"] for one in entries(admin, "audited/proxied")] == ["203.0.113.7"]


def test_the_log_is_listed_page_by_page_and_by_what_is_asked(admin: Caller) -> None:
    path = f"/api/v1/runs/{run_of(admin, 'paged')}/tags"
    for tag in ("one", "two", "three"):
        admin.request("PUT", f"{path}/{tag}")
    found, cursor = [], ""
    while True:
        page = admin.get(f"/api/v1/audit?limit=2&action=tag_added{cursor}")
        found += [one["detail"] for one in page["items"] if one["target"] == "audited/paged"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["one", "two", "three"]
    [*_, newest] = entries(admin, "audited/paged")
    assert entries(admin, "audited/paged", since=str(newest["at"]))[-1] == newest
    assert admin.get(f"/api/v1/audit?since={newest['at'] + 3600}")["items"] == []
    for wrong in ("action=nothing", "since=-1", "since=nan", "who=%00"):
        assert admin.request("GET", f"/api/v1/audit?{wrong}")[0] == 422


def test_what_is_done_to_tokens_is_written_down_without_a_secret(database: Database) -> None:
    by = Actor(who="operator")
    with database.write() as session:
        given = {"scope": "read", "project": "vision", "expires_at": None}
        old = create_token(session, name="ci", now=1.0, by=by, **given)
        new = rotate_token(session, "ci", grace_seconds=60.0, now=2.0, by=by)
        [token] = list_tokens(session)
        revoke_token(session, token.id, now=3.0, by=by)
    with database.read() as session:
        found = acts(session, who="operator", limit=10)
    assert [(one.at, one.action, one.target, one.detail) for one in found] == [
        (1.0, "token_made", "token 1 (ci)", "read, project vision"),
        (2.0, "token_rotated", "token 1 (ci)", "the secret before is good for 60 s"),
        (3.0, "token_revoked", "token 1 (ci)", None),
    ]
    kept = repr([vars(one) for one in found])
    for secret in (old, new):
        assert secret.split("_", 2)[2] not in kept


def test_old_entries_are_forgotten_and_their_ids_not_given_again(database: Database) -> None:
    def write(now: float) -> None:
        with database.write() as session:
            actor = Actor(who="x", address="long" * 100)
            record_act(session, actor, Action.RUN_DELETED, target="t", detail="d" * 5000, now=now)

    write(10.0)
    write(20.0)
    with database.write() as session:
        trim_acts(session, before=21.0)
    write(30.0)
    with database.read() as session:
        [kept] = acts(session, limit=10)
    assert (kept.id, kept.at, len(kept.address or ""), len(kept.detail or "")) == (
        3, 30.0, 64, 1000,
    )  # fmt: skip
