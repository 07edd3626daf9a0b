"""PostgreSQL: one schema, one writer at a time over all processes."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, select

from bifurk_service.api.partings import parting_of
from bifurk_service.commands.doctor import Severity, stores
from bifurk_service.errors import InvalidError, StorageError
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.settings import Settings
from bifurk_service.store import engine as engine_module
from bifurk_service.store.carried_steps import carried_steps
from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.events import OnlyInLineError, append_event
from bifurk_service.store.examination import postgres_facts
from bifurk_service.store.models import Base, Event, Project, Run
from bifurk_service.store.newest_values import newest_values
from bifurk_service.store.series import find_tensors
from bifurk_service.store.tensor_spans import read_tensor_spans
from bifurk_service.store.timeline import timeline
from tests.compared_runs import condense_all, faulty, usual, write_attempt, write_run
from tests.deploy.postgres import Postgres
from tests.store.condensed import check, condensed_rows, spans_of
from tests.written_run import WrittenRun

SECONDS = 30.0


@pytest.fixture(scope="module")
def url(cluster: Postgres) -> str:
    return cluster.bifurk("store")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    database.upgrade()
    yield database
    with database.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    database.close()


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database as another process has it."""
    other = Database(database.url)
    yield other
    other.close()


def add_project(database: Database, slug: str) -> None:
    with database.write() as session:
        session.add(Project(slug=slug, created_at=0.0))


def projects(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Project.slug).order_by(Project.slug)))


def test_the_migrations_give_the_schema_that_the_models_declare(database: Database) -> None:
    command.check(alembic_config(database.url))


def test_the_migrations_go_down_and_up_again(database: Database) -> None:
    command.downgrade(alembic_config(database.url), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    assert inspect(database.engine).get_view_names() == []
    database.upgrade()
    assert set(Base.metadata.tables) < set(inspect(database.engine).get_table_names())


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(
    database: Database, other: Database
) -> None:
    with database.read() as session:
        assert list(session.scalars(select(Project.slug))) == []
        add_project(other, "meanwhile")
        assert list(session.scalars(select(Project.slug))) == []
    assert projects(database) == ["meanwhile"]


def test_writers_of_two_processes_wait_in_line(database: Database, other: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as session:
            session.add(Project(slug="first", created_at=0.0))
            begun.set()
            assert go_on.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(SECONDS)
    threading.Timer(0.2, go_on.set).start()
    with other.write() as session:
        seen = list(session.scalars(select(Project.slug)))
    holder.join()
    assert seen == ["first"], "the second began when the first had committed, and saw it"


def test_a_writer_that_waits_too_long_says_to_try_again(
    database: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_SECONDS", 0.1)
    with (
        database.write(),
        pytest.raises(StorageError, match="lock timeout") as refused,
    ):
        add_project(other, "late")
    assert refused.value.retry_after_seconds
    assert projects(database) == []


def test_parts_of_different_runs_are_taken_in_beside_each_other(
    database: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_SECONDS", 0.1)
    with database.write(beside="p/first") as session:
        session.add(Project(slug="beside", created_at=0.0))
        with other.write(beside="p/second") as second:
            second.add(Project(slug="also", created_at=0.0))
        with pytest.raises(StorageError, match="lock timeout"), other.write(beside="p/first"):
            pytest.fail("two write to one run")
        with pytest.raises(StorageError, match="lock timeout"):
            add_project(other, "in-line")
    with database.write(), pytest.raises(StorageError), other.write(beside="p/second"):
        pytest.fail("it writes beside one who is in line")
    assert projects(database) == ["also", "beside"]


def test_events_are_written_in_line_only(database: Database) -> None:
    with database.write(beside="p/r") as session, pytest.raises(OnlyInLineError):
        append_event(session, run_id=1, kind="snapshot", data={}, now=0.0)
    with database.write() as session:
        assert not session.info


def test_numbers_that_are_none_are_null_in_documents(database: Database) -> None:
    data = {"a": math.nan, "b": [1.5, -math.inf], "c": {"d": math.inf}}
    with database.write() as session:
        project = Project(slug="p", created_at=0.0)
        session.add(project)
        session.flush()
        run = Run(project_id=project.id, slug="r", created_at=0.0, updated_at=0.0)
        session.add(run)
        session.flush()
        append_event(session, run_id=run.id, kind="snapshot", data=data, now=0.0)
    with database.read() as session:
        [event] = session.scalars(select(Event))
    assert event.data == {"a": None, "b": [1.5, None], "c": {"d": None}}


@pytest.mark.parametrize("slug", ["with \0 inside", "x" * 129])
def test_what_no_column_holds_is_the_request_s_fault(database: Database, slug: str) -> None:
    with pytest.raises(InvalidError, match="cannot hold it"):
        add_project(database, slug)
    assert projects(database) == []


def test_long_runs_are_condensed_as_on_sqlite(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(520))
    assert condense_due(database, most_seconds=60) == 8
    check(run, spans_of(run))
    assert condensed_rows(database) == {1: 8, 2: 1}


def test_a_tensor_of_a_long_run_is_read_as_on_sqlite(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(150))
    run.judge(range(100, 200), attempt=run.begin("second"))
    condense_due(database, most_seconds=math.inf)
    with database.read() as session:
        course = timeline(session, run.id)
        few = carried_steps(session, "statistics", run.tensors[0], course, most=20)
        behind = [10 * math.ceil(12.8 * place) for place in range(16)]
        assert few.steps.tolist() == sorted([*behind, 1_000, 1_990])
        spans = read_tensor_spans(
            session, run.id, run.tensors[0], ("mean",), narrow=lambda first, last: last >= first
        )
    assert len(spans.first) < 180
    assert (spans.low == -1.0).all()


def test_where_long_runs_part_is_told_as_on_sqlite(database: Database) -> None:
    ids = []
    for name, values in (("good", usual(140)), ("faulty", faulty(140))):
        ids.append(write_run(database, name))
        write_attempt(database, name, "first", range(140), values)
    condense_all(database)
    with database.read() as session:
        sides = [(run_id, find_tensors(session, run_id)) for run_id in ids]
        found, whole = (parting_of(session, *sides, **how) for how in ({"most_points": 0}, {}))
        assert [one.step for one in found.tensors] == [12, 60]
        assert found.tensors == whole.tensors
        assert (found.first_difference, found.last_together) == (whole.first_difference, 11)
        matrix = sides[0][1][0].id
        newest = newest_values(session, ids[0], "std", [matrix], 130)
        assert newest == usual(140)["std"][0, 130]


def test_the_doctor_sees_its_version_its_connections_and_its_schema(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.url)
    found = {finding.check: finding for finding in stores.findings(settings)}
    assert {one.severity for one in found.values()} == {Severity.OK}, found
    facts = postgres_facts(database)
    assert found["database"].found.startswith(f"PostgreSQL {facts.version}; ")
    assert 1 <= facts.in_use < facts.limit
    assert 1 < facts.of_a_process <= facts.limit
    assert found["queue"].found == "nothing waits"
