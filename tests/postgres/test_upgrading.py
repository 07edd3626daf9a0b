"""The schema is brought up to date while the service is in use, and by several at once."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from bifurk_service.errors import SetupError
from bifurk_service.store import migrating
from bifurk_service.store.connecting import BUSY_TIMEOUT_SECONDS
from bifurk_service.store.engine import Database, alembic_config
from tests.command import Command
from tests.deploy.postgres import Postgres
from tests.postgres.test_reasons import waiting
from tests.server import DEADLINE_SECONDS, wait_for

BEFORE = "20261203_leases"
"""What follows changes tables that everybody reads and writes."""


@pytest.fixture
def older(cluster: Postgres, request: pytest.FixtureRequest) -> str:
    """URL of a database of an earlier version."""
    url = cluster.database(f"older-{request.node.name[:50]}")
    command.upgrade(alembic_config(url), BEFORE)
    return url


def test_two_who_upgrade_at_once_both_find_it_done(older: str, tmp_path: Path) -> None:
    environment = {**os.environ, "BIFURK_DATABASE_URL": older, "BIFURK_DATA_DIR": str(tmp_path)}
    outputs = [tmp_path / "first", tmp_path / "second"]
    both = [
        Command(["db", "upgrade"], environment=environment, output=output) for output in outputs
    ]
    assert [one.wait(DEADLINE_SECONDS) for one in both] == [0, 0], [o.read_text() for o in outputs]
    database = Database(older)
    database.check_current()
    database.close()


def test_an_upgrade_behind_a_long_reader_keeps_nobody_waiting(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "UPGRADE_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(migrating, "UPGRADE_LOCK_SECONDS", 0.5)
    monkeypatch.setattr(migrating, "UPGRADE_TRIES", 1_000)
    database, reader, writer = Database(older), Database(older), Database(older)
    upgrading = threading.Thread(target=database.upgrade)
    with reader.read() as session:
        session.execute(text("SELECT id FROM runs"))
        upgrading.start()
        for _ in range(3):
            begun = time.monotonic()
            with writer.write() as other:
                other.execute(text("UPDATE runs SET updated_at = 0"))
            assert time.monotonic() - begun < BUSY_TIMEOUT_SECONDS
        assert upgrading.is_alive()
    upgrading.join(DEADLINE_SECONDS)
    database.check_current()
    for one in (database, reader, writer):
        one.close()


def test_an_upgrade_and_a_reader_who_each_want_what_the_other_has_both_come_to_their_end(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "UPGRADE_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(migrating, "UPGRADE_TRIES", 1_000)
    database, reader = Database(older), Database(older)
    with database.engine.connect() as connection:
        name = database.engine.url.database
        connection.execute(text(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '300ms'"))
        connection.commit()
    database.engine.dispose()
    with ThreadPoolExecutor(1) as thread:
        with reader.read() as session:
            # It is the upgrade that PostgreSQL ends, where the two stand in each other's way.
            session.execute(text("SET LOCAL deadlock_timeout = '1min'"))
            session.execute(text("SELECT id FROM snapshots"))
            upgrading = thread.submit(database.upgrade)
            wait_for(lambda: waiting(database) > 0, "the upgrade to wait for the reader")
            session.execute(text("SELECT id FROM runs"))
        upgrading.result(DEADLINE_SECONDS)
    database.check_current()
    for one in (database, reader):
        one.close()


def test_an_upgrade_that_never_gets_its_turn_says_so_and_changes_nothing(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "UPGRADE_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(migrating, "UPGRADE_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(migrating, "UPGRADE_TRIES", 2)
    database, reader = Database(older), Database(older)
    with reader.read() as session:
        session.execute(text("SELECT id FROM runs"))
        with pytest.raises(SetupError, match="in use by others"):
            database.upgrade()
    with pytest.raises(SetupError, match=BEFORE):
        database.check_current()
    database.upgrade()
    database.check_current()
    for one in (database, reader):
        one.close()
