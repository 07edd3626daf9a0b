"""Silence counts only while some server takes in, whoever looks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from bifurk_service.pipeline.ear import Ear
from bifurk_service.pipeline.housekeeping import Housekeeper
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.listening import anybody_listens
from bifurk_service.store.models import Attempt, StoredAlert
from bifurk_service.store.runs import ensure_attempt
from tests.deploy.postgres import Postgres
from tests.server import wait_for

HEARD_AT = 1_000.0
PATIENCE_SECONDS = 600
MOST_MILLISECONDS = 60_000
"""That the end of a connection is waited for."""


@pytest.fixture
def ear(database: Database) -> Iterator[Ear]:
    ear = Ear(database, look_seconds=0.1)
    yield ear
    ear.stop()


@pytest.fixture
def keeper(database: Database, tmp_path: Path) -> Housekeeper:
    with database.write() as session:
        ensure_attempt(session, project="tests", run="run", attempt="first", now=HEARD_AT)
    return Housekeeper(
        database,
        open_blobs(str(tmp_path)),
        started_at=0.0,
        silent_minimum_seconds=PATIENCE_SECONDS,
        retention_days=None,
    )


def listening(database: Database) -> Callable[[], bool]:
    def asked() -> bool:
        with database.read() as session:
            return anybody_listens(session)

    return asked


def state(database: Database) -> str:
    with database.read() as session:
        return session.scalars(select(Attempt)).one().state


def test_a_server_that_takes_nothing_in_is_no_silence_of_the_trainings(
    database: Database, keeper: Housekeeper, ear: Ear
) -> None:
    keeper.run(HEARD_AT)
    back_at = HEARD_AT + 2 * PATIENCE_SECONDS
    for now in range(int(HEARD_AT), int(back_at), PATIENCE_SECONDS // 4):
        keeper.run(now)
    assert state(database) == "running"
    ear.start()
    wait_for(listening(database), "the server")
    for now in (back_at, back_at + PATIENCE_SECONDS / 4, back_at + PATIENCE_SECONDS / 2):
        keeper.run(now)
    assert state(database) == "running"
    with database.read() as session:
        assert session.scalars(select(StoredAlert)).all() == []
    for now in (0.8, 1.0, 1.1):
        keeper.run(back_at + now * PATIENCE_SECONDS)
    assert state(database) == "lost", "whoever is not heard of after that"


def test_an_ear_that_lost_its_connection_is_soon_there_again(
    database: Database, ear: Ear, cluster: Postgres
) -> None:
    assert not listening(database)()
    ear.start()
    wait_for(listening(database), "the server")
    with psycopg.connect(cluster.address("postgres"), autocommit=True) as other:
        name = database.engine.url.database
        query = "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s"
        other.execute(query, (MOST_MILLISECONDS, name))
    database.engine.dispose()
    wait_for(listening(database), "the server again")
    ear.stop()
    wait_for(lambda: not listening(database)(), "the end of it")
