"""The life of an alert over REST: who did what and why, parts of alerts, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest

from bifurk_service.access import who
from bifurk_service.domain import AffectedTensor, Alert, AttemptState, Severity, TensorInfo
from bifurk_service.settings import Settings
from bifurk_service.store.alert_keeping import keep_alert
from bifurk_service.store.alerts import silence
from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.runs import ensure_attempt
from bifurk_service.store.tokens import Grant
from tests.api.conftest import Guarded
from tests.api.filling import Caller

NOW = 1_700_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Ids of a run's alerts."""

    run: int
    whole: int
    part: int
    silenced: int


@pytest.fixture(scope="module")
def shown(anyone: Caller) -> Family:
    """Alerts of a run that nobody changes: one with a part, and one that a rule silences."""
    return stored_family(anyone, "shown")


@pytest.fixture
def family(anyone: Caller, request: pytest.FixtureRequest) -> Family:
    """The same in a run of the test's own."""
    return stored_family(anyone, hashlib.sha256(request.node.nodeid.encode()).hexdigest())


def stored_family(caller: Caller, run: str) -> Family:
    database = Database(Settings(data_dir=caller.server.data_dir).resolved_database_url)
    with database.write() as session:
        attempt = ensure_attempt(session, project="families", run=run, attempt="first", now=NOW)
        # Or the server would add, once it has waited long enough, that the attempt is silent.
        attempt.state = AttemptState.FINISHED.value
        whole, part, silenced = (
            keep_alert(session, attempt, alert, now=NOW).alert
            for alert in (made("whole"), made("part", parent="whole"), made("silenced"))
        )
        silence(session, silenced, "no embeddings", now=NOW)
        ids = Family(run=attempt.run_id, whole=whole.id, part=part.id, silenced=silenced.id)
    database.close()
    return ids


def made(fingerprint: str, *, parent: str = "", tensors: int = 1) -> Alert:
    info = TensorInfo(id=1, name="w", layer=0, role="mlp.up", shape=(2, 2))
    affected = AffectedTensor(
        tensor=info,
        statistics=("std", "rms"),
        onset_first_step=10,
        onset_last_step=20,
        before=1.0,
        after=2.0,
        score=1.5,
        first_statistic="rms",
        branch=1,
    )
    return Alert(
        fingerprint=fingerprint,
        kind="branch_split",
        severity=Severity.WARNING,
        statistic="std",
        tensors=(affected,) * tensors,
        detected_step=20,
        detected_sequence=2,
        onset_first_step=10,
        onset_last_step=20,
        before=1.0,
        after=2.0,
        score=1.5,
        sentence=f"run: {fingerprint}",
        parent=parent,
        false_alarms_per_10000=0.25,
    )


def post(caller: Caller, alert: int, verb: str, document: Any = None) -> tuple[int, Any]:
    body = None if document is None else json.dumps(document).encode()
    headers = {} if document is None else {"Content-Type": "application/json"}
    return caller.request("POST", f"/api/v1/alerts/{alert}/{verb}", body=body, headers=headers)


def history(caller: Caller, alert: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = caller.get(f"/api/v1/alerts/{alert}/history")["items"]
    return items


def test_an_alert_says_what_it_is_a_part_of_and_what_is_a_part_of_it(
    anyone: Caller, shown: Family
) -> None:
    whole = anyone.get(f"/api/v1/alerts/{shown.whole}")
    part = anyone.get(f"/api/v1/alerts/{shown.part}")
    assert (whole["parent"], whole["children"]) == (None, [shown.part])
    assert (part["parent"], part["children"]) == (shown.whole, [])
    assert whole["false_alarms_per_10000"] == 0.25
    assert whole["resolved_at"] is None
    [tensor] = whole["tensors"]
    assert (tensor["first_statistic"], tensor["branch"]) == ("rms", 1)
    listed = anyone.get(f"/api/v1/alerts?run={shown.run}")["items"]
    assert [alert["parent"] for alert in listed] == [None, shown.whole, None]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["whole", "part", "silenced"]),
        ("silenced=false", ["whole", "part"]),
        ("silenced=true", ["silenced"]),
        ("children=false", ["whole", "silenced"]),
        ("children=true", ["part"]),
        ("superseded=false", ["whole", "part", "silenced"]),
        ("superseded=true", []),
        ("children=false&silenced=false", ["whole"]),
    ],
)
def test_alerts_are_found_by_where_they_stand(
    anyone: Caller, shown: Family, query: str, found: list[str]
) -> None:
    items = anyone.get(f"/api/v1/alerts?run={shown.run}&{query}")["items"]
    assert [alert["fingerprint"] for alert in items] == found


def test_a_silenced_alert_names_its_rule_and_is_not_among_the_runs_counts(
    anyone: Caller, shown: Family
) -> None:
    assert anyone.get(f"/api/v1/alerts/{shown.silenced}")["silenced_by"] == "no embeddings"
    assert anyone.get(f"/api/v1/runs/{shown.run}")["alerts"] == {"warning": 2}


def test_the_history_says_what_happened_when_by_whom_and_why(
    anyone: Caller, family: Family
) -> None:
    assert post(anyone, family.whole, "acknowledge", {"note": "looking"})[0] == 200
    status, resolved = post(anyone, family.whole, "resolve", {"note": "a bad disk"})
    assert (status, resolved["state"], resolved["children"]) == (200, "resolved", [family.part])
    assert resolved["resolved_at"] == resolved["updated_at"] > NOW
    raised, acknowledged, ended = history(anyone, family.whole)
    assert raised == {
        "at": NOW,
        "change": "raised",
        "state": "firing",
        "severity": "warning",
        "who": "bifurk",
        "note": None,
    }
    assert (acknowledged["change"], acknowledged["note"]) == ("acknowledged", "looking")
    assert (ended["change"], ended["who"], ended["note"]) == ("resolved", "anonymous", "a bad disk")
    of_part = [(change["change"], change["note"]) for change in history(anyone, family.part)]
    assert of_part == [
        ("raised", None),
        ("joined", None),
        ("acknowledged", f"with alert {family.whole}"),
        ("resolved", f"with alert {family.whole}"),
    ]


def test_the_history_comes_in_pages(anyone: Caller, family: Family) -> None:
    post(anyone, family.whole, "acknowledge")
    post(anyone, family.whole, "resolve")
    path, seen = f"/api/v1/alerts/{family.whole}/history?limit=1", []
    page = anyone.get(path)
    while page["next_cursor"]:
        seen += page["items"]
        page = anyone.get(f"{path}&cursor={page['next_cursor']}")
    assert [change["change"] for change in seen] == ["raised", "acknowledged", "resolved"]


def test_the_same_again_writes_no_history(anyone: Caller, family: Family) -> None:
    for _ in range(2):
        assert post(anyone, family.whole, "resolve")[0] == 200
    assert [change["change"] for change in history(anyone, family.whole)] == ["raised", "resolved"]


@pytest.mark.parametrize(
    "document",
    [
        {"note": "x" * 2001},
        {"note": ""},
        {"note": 7},
        {"note": "\0"},
        {"reason": "no such field"},
        ["a list"],
        "a text",
    ],
    ids=repr,
)
@pytest.mark.parametrize("verb", ["acknowledge", "resolve"])
def test_a_note_that_is_none_is_refused_and_nothing_is_changed(
    anyone: Caller, shown: Family, verb: str, document: Any
) -> None:
    status, problem = post(anyone, shown.whole, verb, document)
    assert status == 422, problem
    assert problem["where"].startswith("body")
    assert anyone.get(f"/api/v1/alerts/{shown.whole}")["state"] == "firing"


@pytest.mark.parametrize("document", [{"note": "x" * 2000}, {"note": None}, {}])
def test_a_note_may_be_long_or_left_out(anyone: Caller, family: Family, document: Any) -> None:
    assert post(anyone, family.whole, "resolve", document)[0] == 200
    assert history(anyone, family.whole)[-1]["note"] == document.get("note")


def test_what_is_resolved_is_not_acknowledged(anyone: Caller, family: Family) -> None:
    post(anyone, family.whole, "resolve")
    status, problem = post(anyone, family.whole, "acknowledge", {"note": "too late"})
    assert status == 409
    assert "stays so" in problem["detail"]


def test_an_alert_that_is_not_there_is_named(anyone: Caller) -> None:
    for method, path in (("GET", "history"), ("POST", "acknowledge"), ("POST", "resolve")):
        status, problem = anyone.request(method, f"/api/v1/alerts/999999/{path}")
        assert status == 404
        assert "no alert 999999" in problem["detail"]


def test_a_person_is_known_by_the_name_of_the_token(guarded: Guarded) -> None:
    admin = guarded.callers["admin"]
    alert = guarded.filled.other_alert
    assert post(admin, alert, "acknowledge")[0] == 200
    assert history(admin, alert)[-1]["who"] == "admin"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "anonymous"),
        ("ada", "ada"),
        ("bifurk", "token bifurk"),
        ("anonymous", "token anonymous"),
    ],
)
def test_a_tokens_name_passes_for_nothing_but_a_tokens(name: str | None, said: str) -> None:
    assert who(Grant(scopes=frozenset(), name=name)) == said


def test_an_alert_from_before_parts_had_their_order_is_shown(
    anyone: Caller, family: Family
) -> None:
    """Tensors of alerts that an earlier version stored have neither field."""
    database = Database(Settings(data_dir=anyone.server.data_dir).resolved_database_url)
    with database.write() as session:
        stored = session.get_one(StoredAlert, family.whole)
        stored.tensors = [
            {
                name: value
                for name, value in entry.items()
                if name not in ("first_statistic", "branch")
            }
            for entry in stored.tensors
        ]
    database.close()
    [tensor] = anyone.get(f"/api/v1/alerts/{family.whole}")["tensors"]
    assert (tensor["first_statistic"], tensor["branch"]) == ("", None)
