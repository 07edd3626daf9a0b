"""Whether an attempt is lost does not depend on when it was heard of beside the look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from bifurk.testing import ManualClock
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import Attempt, StoredAlert
from bifurk_service.store.runs import ensure_attempt
from tests.database import fresh_database

LOOKED_AT = 50_000.0
"""The server has listened since 1970."""
PATIENCE_SECONDS = 600.0
A_MOMENT = 0.05


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    hear(database, LOOKED_AT - PATIENCE_SECONDS)
    yield database
    database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def housekeeper(database: Database, tmp_path: Path, clock: ManualClock) -> Housekeeper:
    return Housekeeper(
        database,
        open_blobs(str(tmp_path / "blobs")),
        started_at=0.0,
        silent_minimum_seconds=PATIENCE_SECONDS,
        retention_days=None,
        monotonic=clock.now,
    )


def test_one_heard_of_after_the_time_was_read_is_not_lost(
    database: Database, housekeeper: Housekeeper
) -> None:
    look(housekeeper)
    hear(database, LOOKED_AT + A_MOMENT)
    housekeeper.run(LOOKED_AT)
    assert found(database) == ("running", 0)


def test_one_heard_of_by_a_server_whose_clock_is_ahead_is_not_lost(
    database: Database, housekeeper: Housekeeper
) -> None:
    look(housekeeper)
    ahead = PATIENCE_SECONDS / 2
    hear(database, LOOKED_AT + ahead)
    housekeeper.run(LOOKED_AT)
    assert found(database) == ("running", 0)
    look(housekeeper, until=LOOKED_AT + ahead + PATIENCE_SECONDS)
    assert found(database) == ("running", 0)
    housekeeper.run(LOOKED_AT + ahead + PATIENCE_SECONDS + 1.0)
    assert found(database) == ("lost", 1)


def test_one_heard_of_between_the_look_and_the_verdict_is_not_lost(
    database: Database, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(housekeeper)
    before_the_next_write(database, monkeypatch, lambda: hear(database, LOOKED_AT + 1 + A_MOMENT))
    housekeeper.run(LOOKED_AT + 1)
    assert found(database) == ("running", 0)


def test_who_is_stopped_between_the_look_and_the_verdict_has_heard_nothing_meanwhile(
    database: Database,
    housekeeper: Housekeeper,
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
) -> None:
    look(housekeeper)
    before_the_next_write(database, monkeypatch, lambda: clock.advance(PATIENCE_SECONDS))
    housekeeper.run(LOOKED_AT + 1)
    assert found(database) == ("running", 0)


def look(housekeeper: Housekeeper, *, until: float = LOOKED_AT) -> None:
    """Again and again, as a server does that is never away."""
    now = until - PATIENCE_SECONDS
    while now < until:
        housekeeper.run(now)
        now += PATIENCE_SECONDS / 4
    housekeeper.run(until)


def hear(database: Database, now: float) -> None:
    with database.write() as session:
        ensure_attempt(session, project="tests", run="run", attempt="first", now=now)


def found(database: Database) -> tuple[str, int]:
    """The attempt's state, and how many alerts there are."""
    with database.read() as session:
        alerts = session.scalars(select(StoredAlert.id)).all()
        return session.scalars(select(Attempt.state)).one(), len(alerts)


def before_the_next_write(
    database: Database, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]
) -> None:
    write = database.write

    @contextmanager
    def second() -> Iterator[Session]:
        monkeypatch.setattr(database, "write", write)
        meanwhile()
        with write() as session:
            yield session

    monkeypatch.setattr(database, "write", second)
