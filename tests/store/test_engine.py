"""The database: migrations both ways, one writer at a time, and what refuses to start."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from bifurk_service.errors import SetupError, StorageError
from bifurk_service.store import connecting
from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.models import Base, Project
from bifurk_service.store.network_folders import network_filesystem
from tests.database import fresh_database


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    database = fresh_database(tmp_path)
    yield database
    database.close()


def test_the_migrations_give_the_schema_that_the_models_declare(database: Database) -> None:
    command.check(alembic_config(database.url))


def test_the_migrations_go_down_and_up_again(database: Database) -> None:
    command.downgrade(alembic_config(database.url), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    database.upgrade()
    assert set(Base.metadata.tables) < set(inspect(database.engine).get_table_names())


def test_statistics_are_clustered_by_tensor_attempt_and_step(database: Database) -> None:
    with database.read() as session:
        sql = session.execute(
            text("SELECT sql FROM sqlite_master WHERE name = 'tensor_stats'")
        ).scalar_one()
    assert "WITHOUT ROWID" in sql


def test_commits_survive_a_power_cut(database: Database) -> None:
    with database.read() as session:
        assert session.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as session:
            session.add(Project(slug="p", created_at=0.0))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with database.read() as session:
        assert session.scalar(select(Project)) is None


def test_many_writers_at_once_all_get_their_turn(database: Database) -> None:
    def add(name: str) -> None:
        with database.write() as session:
            session.add(Project(slug=name, created_at=0.0))

    threads = [threading.Thread(target=add, args=(f"p{i}",)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(list(session.scalars(select(Project)))) == 20


def test_a_database_locked_by_someone_else_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_SECONDS", 0.1)
    url = f"sqlite:///{tmp_path / 'test.db'}"
    first, second = Database(url), Database(url)
    first.upgrade()
    with first.write(), pytest.raises(StorageError, match="locked"), second.write():
        pass
    first.close()
    second.close()


def test_an_old_schema_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SetupError, match="bifurk db upgrade"):
        database.check_current()
    database.close()


def test_sqlite_on_a_network_filesystem_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "network_filesystem", lambda _path: "nfs4")
    with pytest.raises(SetupError, match=r"network filesystem \(nfs4\)"):
        Database(f"sqlite:///{tmp_path / 'test.db'}")


def test_a_local_folder_is_no_network_filesystem(tmp_path: Path) -> None:
    assert network_filesystem(tmp_path) is None


def test_a_schema_of_a_newer_version_is_named_in_a_line(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '20991231_newer'"))
    with pytest.raises(SetupError, match=r"another version of bifurk .*20991231_newer"):
        database.upgrade()
    database.close()


def test_what_the_database_refuses_is_not_told_with_all_that_was_in_it(database: Database) -> None:
    def twice() -> None:
        with database.write() as session:
            session.add_all([Project(slug="secret", created_at=at) for at in (0.0, 1.0)])

    with pytest.raises(IntegrityError) as refused:
        twice()
    assert "secret" not in str(refused.value)
