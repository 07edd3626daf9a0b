"""What answers tell a client of its alerts: the newest changes, as they are, in so many bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bifurk_service.domain import AlertState
from bifurk_service.store.alert_news import MOST_ALERTS, MOST_BYTES, MOST_TENSORS, AlertNews
from bifurk_service.store.alerts import move_alert
from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.runs import ensure_attempt
from tests.database import fresh_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    with database.write() as session:
        for attempt in ("first", "second"):
            ensure_attempt(session, project="p", run="r", attempt=attempt, now=0.0)
    yield database
    database.close()


def keep(database: Database, *, at: float, **changed: Any) -> int:
    """Stores an alert of the first attempt; its id."""
    fields: dict[str, Any] = {
        "run_id": 1,
        "attempt_id": 1,
        "fingerprint": f"alert-{at}",
        "kind": "regime_shift",
        "severity": "warning",
        "state": "firing",
        "statistic": "rms",
        "detected_step": 30,
        "detected_sequence": 3,
        "onset_first_step": 10,
        "onset_last_step": 20,
        "sentence": "The rms rose.",
        "tensors": [{"id": 1, "name": "head.weight"}],
        "explained_by": [],
        "evidence": {},
        "created_at": at,
        "updated_at": at,
        **changed,
    }
    with database.write() as session:
        alert = StoredAlert(**fields)
        session.add(alert)
        session.flush()
        return alert.id


def told(database: Database, news: AlertNews | None = None) -> list[dict[str, Any]]:
    with database.read() as session:
        return (news or AlertNews()).of(session, 1)


def test_an_alert_is_told_as_it_stands(database: Database) -> None:
    number = keep(database, at=1.0)
    assert told(database) == [
        {
            "id": number,
            "fingerprint": "alert-1.0",
            "kind": "regime_shift",
            "severity": "warning",
            "state": "firing",
            "sentence": "The rms rose.",
            "detected_step": 30,
            "onset_first_step": 10,
            "onset_last_step": 20,
            "tensors": ["head.weight"],
            "path": f"/alerts/{number}",
        }
    ]


@pytest.mark.parametrize(
    "changed",
    [{"parent": "other"}, {"silenced_by": "nights"}, {"superseded": True}, {"attempt_id": 2}],
)
def test_what_concerns_nobody_is_not_told(database: Database, changed: dict[str, Any]) -> None:
    keep(database, at=1.0, **changed)
    assert told(database) == []


def test_the_newest_changes_come_first_and_only_so_many(database: Database) -> None:
    ids = [keep(database, at=float(at)) for at in range(MOST_ALERTS + 5)]
    assert [alert["id"] for alert in told(database)] == ids[::-1][:MOST_ALERTS]


def test_a_change_is_told_by_the_next_answer(database: Database) -> None:
    news = AlertNews()
    first, second = keep(database, at=1.0), keep(database, at=2.0)
    assert [alert["id"] for alert in told(database, news)] == [second, first]
    with database.write() as session:
        move_alert(session, first, AlertState.ACKNOWLEDGED, who="ada", now=3.0)
    assert [(alert["id"], alert["state"]) for alert in told(database, news)] == [
        (first, "acknowledged"),
        (second, "firing"),
    ]


def test_however_much_alerts_say_an_answer_stays_small(database: Database) -> None:
    tensors = [{"id": n, "name": f"{n:0512d}"} for n in range(MOST_TENSORS + 9)]
    for at in range(20):
        keep(database, at=float(at), tensors=tensors, sentence="x" * 9_000)
    found = told(database)
    assert 1 < len(found) < 20
    assert len(json.dumps(found)) <= MOST_BYTES + 2 * len(found)
    assert [len(alert["tensors"]) for alert in found] == [MOST_TENSORS] * len(found)


def test_what_is_told_again_and_again_is_read_from_an_index(database: Database) -> None:
    plan = (
        "EXPLAIN QUERY PLAN SELECT id, updated_at FROM alerts WHERE attempt_id = 1 AND parent = ''"
        " AND superseded IS 0 AND silenced_by IS NULL ORDER BY updated_at DESC, id DESC LIMIT 50"
    )
    with database.read() as session:
        steps = [row[3] for row in session.execute(text(plan))]
    assert len(steps) == 1
    assert "COVERING INDEX ix_alerts_news" in steps[0]
