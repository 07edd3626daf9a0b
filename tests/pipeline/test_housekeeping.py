"""Silence counts only while somebody listened, and only if it still lasts when it is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from bifurk_service.domain import AttemptState
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.baselines import BaselineKeeper
from bifurk_service.pipeline.housekeeping import DAY_SECONDS, Housekeeper
from bifurk_service.store.audit import acts
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import Attempt, Run, StoredAlert
from bifurk_service.store.runs import delete_run, ensure_attempt, set_attempt_state
from tests.database import fresh_database

HEARD_AT = 1_000.0
BACK_AT = 50_000.0
"""The server starts again, long after it last heard of the attempt."""
PATIENCE_SECONDS = 600.0

Keep = Callable[..., Housekeeper]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    with database.write() as session:
        ensure_attempt(session, project="tests", run="run", attempt="first", now=HEARD_AT)
    yield database
    database.close()


@pytest.fixture
def housekeeper(database: Database, tmp_path: Path) -> Keep:
    def keep(*, started_at: float) -> Housekeeper:
        return Housekeeper(
            database,
            open_blobs(str(tmp_path / "blobs")),
            started_at=started_at,
            silent_minimum_seconds=PATIENCE_SECONDS,
            retention_days=None,
        )

    return keep


def state(database: Database) -> str:
    with database.read() as session:
        return session.scalars(select(Attempt)).one().state


def alerts(database: Database) -> list[str]:
    with database.read() as session:
        return [alert.sentence for alert in session.scalars(select(StoredAlert))]


def test_an_attempt_that_falls_silent_is_lost(database: Database, housekeeper: Keep) -> None:
    keeper = housekeeper(started_at=0.0)
    keeper.run(HEARD_AT + PATIENCE_SECONDS)
    assert state(database) == "running"
    keeper.run(HEARD_AT + PATIENCE_SECONDS + 1)
    assert state(database) == "lost"
    [sentence] = alerts(database)
    assert sentence.startswith("run: no snapshot has come for 10 minutes.")


def test_an_outage_of_the_server_is_no_silence_of_the_training(
    database: Database, housekeeper: Keep
) -> None:
    keeper = housekeeper(started_at=BACK_AT)
    for now in (BACK_AT, BACK_AT + PATIENCE_SECONDS):
        keeper.run(now)
        assert (state(database), alerts(database)) == ("running", [])


def test_who_is_not_heard_of_after_an_outage_is_lost(database: Database, housekeeper: Keep) -> None:
    housekeeper(started_at=BACK_AT).run(BACK_AT + PATIENCE_SECONDS + 1)
    assert state(database) == "lost"
    [sentence] = alerts(database)
    assert sentence.startswith("run: no snapshot has come for 10 minutes.")


STEP_SECONDS = 10.0


@pytest.mark.parametrize("away_seconds", [PATIENCE_SECONDS, 3_600.0])
def test_a_machine_that_slept_or_a_clock_set_forward_is_no_silence_of_the_training(
    database: Database, housekeeper: Keep, away_seconds: float
) -> None:
    keeper = housekeeper(started_at=0.0)
    keeper.run(HEARD_AT)
    back_at = HEARD_AT + away_seconds + STEP_SECONDS
    for now in look_for(back_at, PATIENCE_SECONDS):
        keeper.run(now)
    assert (state(database), alerts(database)) == ("running", [])
    keeper.run(back_at + PATIENCE_SECONDS + STEP_SECONDS)
    assert state(database) == "lost"


def test_a_database_that_was_away_is_no_silence_of_the_training(
    database: Database, housekeeper: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = housekeeper(started_at=0.0)
    keeper.run(HEARD_AT)
    back_at = HEARD_AT + 2 * PATIENCE_SECONDS
    with monkeypatch.context() as away:
        away.setattr(database, "read", no_database)
        for now in look_for(HEARD_AT, 2 * PATIENCE_SECONDS):
            with pytest.raises(ExceptionGroup):
                keeper.run(now)
    keeper.run(back_at)
    assert (state(database), alerts(database)) == ("running", [])


@contextmanager
def no_database() -> Iterator[Session]:
    raise StorageError("gone")
    yield


def test_a_clock_set_back_hides_no_silence(database: Database, housekeeper: Keep) -> None:
    keeper = housekeeper(started_at=0.0)
    keeper.run(HEARD_AT + STEP_SECONDS)
    set_back = HEARD_AT - 900.0
    for now in look_for(set_back, PATIENCE_SECONDS):
        keeper.run(now)
    assert state(database) == "running"
    keeper.run(set_back + PATIENCE_SECONDS + STEP_SECONDS)
    assert state(database) == "lost"


def look_for(start: float, seconds: float) -> list[float]:
    return [start + passed for passed in np.arange(0.0, seconds, STEP_SECONDS)]


def heard_of(session: Session) -> None:
    ensure_attempt(session, project="tests", run="run", attempt="first", now=BACK_AT)


def finished(session: Session) -> None:
    attempt = session.scalars(select(Attempt)).one()
    set_attempt_state(session, attempt, AttemptState.FINISHED, now=BACK_AT)


@pytest.mark.parametrize(("meanwhile", "then"), [(heard_of, "running"), (finished, "finished")])
def test_what_came_between_the_look_and_the_verdict_counts(
    database: Database,
    housekeeper: Keep,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Session], None],
    then: str,
) -> None:
    before_the_next_write(database, monkeypatch, meanwhile)
    housekeeper(started_at=0.0).run(BACK_AT)
    assert (state(database), alerts(database)) == (then, [])


def test_a_run_deleted_between_the_look_and_the_verdict_is_no_error(
    database: Database, housekeeper: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_next_write(database, monkeypatch, lambda session: delete_run(session, 1))
    housekeeper(started_at=0.0).run(BACK_AT)
    assert alerts(database) == []


def test_a_duty_that_fails_keeps_no_other_from_being_done(
    database: Database, housekeeper: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    with database.write() as session:
        session.scalars(select(Run)).one().retention_days = 1.0
    monkeypatch.setattr(Housekeeper, "_mark_lost", fails)
    monkeypatch.setattr("bifurk_service.pipeline.housekeeping.remove_due", fails)
    monkeypatch.setattr("bifurk_service.pipeline.housekeeping.trim_events", fails)
    looked_at: list[float] = []
    monkeypatch.setattr(BaselineKeeper, "run", lambda _, now: looked_at.append(now))
    now = BACK_AT + 2 * DAY_SECONDS
    with pytest.raises(ExceptionGroup) as failed:
        housekeeper(started_at=0.0).run(now)
    assert len(failed.value.exceptions) == 3
    assert logged(database) == [("bifurk", "run_deleted", "tests/run", "past its retention")]
    assert looked_at == [now]


def test_a_run_past_its_retention_is_deleted_and_the_log_says_so(
    database: Database, housekeeper: Keep
) -> None:
    with database.write() as session:
        session.scalars(select(Run)).one().retention_days = 1.0
    keeper = housekeeper(started_at=0.0)
    keeper.run(BACK_AT + 2 * DAY_SECONDS)
    assert state_or_none(database) is None
    assert logged(database) == [("bifurk", "run_deleted", "tests/run", "past its retention")]
    keeper.run(BACK_AT + 366 * DAY_SECONDS)
    assert logged(database) == [("bifurk", "run_deleted", "tests/run", "past its retention")]
    keeper.run(BACK_AT + 368 * DAY_SECONDS)
    assert logged(database) == []


def test_a_run_that_is_heard_of_between_the_look_and_the_removal_stays(
    database: Database, housekeeper: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        finished(session)
        session.scalars(select(Run)).one().retention_days = 0.1
    before_the_next_write(database, monkeypatch, heard_of)
    housekeeper(started_at=0.0).run(BACK_AT)
    assert state_or_none(database) == "finished"
    assert logged(database) == []
    with database.read() as session:
        assert [run.slug for run in session.scalars(select(Run))] == ["run"]


def state_or_none(database: Database) -> str | None:
    with database.read() as session:
        return session.scalar(select(Attempt.state))


def logged(database: Database) -> list[tuple[str, str, str, str | None]]:
    with database.read() as session:
        return [(one.who, one.action, one.target, one.detail) for one in acts(session, limit=10)]


def before_the_next_write(
    database: Database, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Session], object]
) -> None:
    """Somebody else's transaction gets in just before the housekeeper's next one."""
    write = database.write

    @contextmanager
    def second() -> Iterator[Session]:
        monkeypatch.setattr(database, "write", write)
        with write() as session:
            meanwhile(session)
        with write() as session:
            yield session

    monkeypatch.setattr(database, "write", second)
