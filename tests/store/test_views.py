"""The versioned views: what REST says, as tables; on PostgreSQL for a role that reads only them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import inspect, text
from typer.testing import CliRunner

from bifurk_service.cli import app as command_line
from bifurk_service.errors import SetupError
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Base
from bifurk_service.store.views import VIEWS, grant_views
from tests.api.filling import BROKEN_AT, Caller, broken_part
from tests.database import fresh_database
from tests.deploy.postgres import Postgres
from tests.server import Server

COMPARED = ("std", "update_ratio", "spectral_norm", "nonfinite_count", "count")
ROLE = 'a "dashboard"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A run whose second attempt goes over the last steps of the first again."""

    caller: Caller
    database: Database

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a query, by column."""
        with self.database.read() as session:
            return [dict(row) for row in session.execute(text(query), parameters).mappings()]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("views")
    environment = {}
    if request.param == "postgresql":
        url = request.getfixturevalue("cluster").bifurk("views")
        environment["BIFURK_DATABASE_URL"] = url
    else:
        url = f"sqlite:///{folder / 'data' / 'bifurk.db'}"
    server = Server(folder / "data", environment)
    caller = Caller(server)
    for sequence in range(6):
        caller.post_part(broken_part(sequence))
    for sequence in range(3):
        caller.post_part(broken_part(sequence, attempt="second", step=30 + 10 * sequence))
    broken = broken_part(BROKEN_AT, run="other")
    first = replace(broken.manifest, sequence=0, step=0, previous_step=None)
    caller.post_part(replace(broken, manifest=first))
    caller.wait_until_judged(caller.run_id("tests", "run"), 9)
    caller.wait_until_judged(caller.run_id("tests", "other"), 1)
    database = Database(url)
    yield Watched(caller=caller, database=database)
    database.close()
    server.stop()


def columns(watched: Watched, view: str) -> list[str]:
    return [column["name"] for column in inspect(watched.database.engine).get_columns(view)]


def test_the_series_have_a_column_a_statistic(watched: Watched) -> None:
    found = columns(watched, "bifurk_v1_series")
    assert found[:10] == [
        *("project", "run", "run_id", "attempt", "tensor", "tensor_id", "layer", "role", "step"),
        "received_at",
    ]
    assert tuple(found[10:]) == STATISTIC_NAMES


@pytest.mark.parametrize("statistic", COMPARED)
def test_the_series_are_those_of_rest(watched: Watched, statistic: str) -> None:
    run = watched.caller.run_id("tests", "run")
    said = watched.caller.get(f"/api/v1/runs/{run}/series?stat={statistic}")["items"]
    rows = watched.rows(
        f'SELECT tensor_id, tensor, layer, role, step, "{statistic}" AS value '
        "FROM bifurk_v1_series WHERE run_id = :run ORDER BY tensor_id, step",
        run=run,
    )
    assert [tuple(row.values()) for row in rows] == [
        (series["tensor"]["id"], *(series["tensor"][key] for key in ("name", "layer", "role")), *at)
        for series in said
        for at in zip(series["steps"], series["values"], strict=True)
    ]
    assert any(row["value"] is not None for row in rows)


def test_a_stretch_that_a_later_attempt_went_over_again_is_not_in_them(watched: Watched) -> None:
    for view in ("bifurk_v1_series", "bifurk_v1_scalars"):
        rows = watched.rows(
            f"SELECT DISTINCT attempt, step FROM {view} WHERE run = 'run' ORDER BY step"
        )
        assert [(row["attempt"], row["step"]) for row in rows] == [
            *(("first", step) for step in (0, 10, 20)),
            *(("second", step) for step in (30, 40, 50)),
        ]


def test_a_row_knows_when_its_snapshot_came(watched: Watched) -> None:
    run = watched.caller.run_id("tests", "run")
    came = {
        (s["attempt"], s["step"]): s["received_at"]
        for s in watched.caller.get(f"/api/v1/runs/{run}/snapshots")["items"]
    }
    for row in watched.rows("SELECT * FROM bifurk_v1_series WHERE run = 'run'"):
        assert row["received_at"] == came[row["attempt"], row["step"]]


def test_the_tensors_are_those_of_rest(watched: Watched) -> None:
    run = watched.caller.run_id("tests", "run")
    said = watched.caller.get(f"/api/v1/runs/{run}/tensors")["items"]
    rows = watched.rows(
        "SELECT tensor_id, tensor, layer, role FROM bifurk_v1_tensors WHERE run = 'run' "
        "ORDER BY tensor_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        tuple(tensor[key] for key in ("id", "name", "layer", "role")) for tensor in said
    ]


def test_the_scalars_are_those_of_rest(watched: Watched) -> None:
    run = watched.caller.run_id("tests", "run")
    said = watched.caller.get(f"/api/v1/runs/{run}/scalars/train/loss")
    rows = watched.rows(
        "SELECT * FROM bifurk_v1_scalars WHERE run_id = :run AND name = 'train/loss' ORDER BY step",
        run=run,
    )
    assert {row["project"] for row in rows} == {"tests"}
    assert {row["count"] for row in rows} == {10}
    for here, there in (("step", "steps"), *((key, key) for key in ("last", "mean", "min", "max"))):
        assert [row[here] for row in rows] == said[there]


def test_the_alerts_are_those_of_rest(watched: Watched) -> None:
    said = watched.caller.get("/api/v1/alerts")["items"]
    rows = watched.rows("SELECT * FROM bifurk_v1_alerts ORDER BY id")
    assert len(rows) == len(said) >= 2
    assert {row["superseded"] for row in rows} == {False, True}
    for row, alert in zip(rows, said, strict=True):
        assert bool(row.pop("silenced")) == (alert["silenced_by"] is not None)
        assert row == {name: alert[name] for name in row}


def test_the_runs_are_those_of_rest(watched: Watched) -> None:
    said = watched.caller.get("/api/v1/runs")["items"]
    rows = watched.rows("SELECT * FROM bifurk_v1_runs ORDER BY run_id")
    assert len(rows) == len(said) == 2
    for row, run in zip(rows, said, strict=True):
        assert row.pop("run_id") == run["id"]
        assert row == {name: run[name] for name in row}


def grant(database: str, role: str) -> Result:
    """`bifurk db grant`, in this process to save its start."""
    return CliRunner().invoke(
        command_line, ["db", "grant", role], env={"BIFURK_DATABASE_URL": database}
    )


def test_a_role_that_is_let_in_reads_the_views_and_nothing_else(cluster: Postgres) -> None:
    url = cluster.bifurk("granting")
    database = Database(url)
    with psycopg.connect(cluster.address("granting"), autocommit=True) as owner:
        quoted = '"' + ROLE.replace('"', '""') + '"'
        owner.execute(f"CREATE ROLE {quoted} LOGIN".encode())
    for _ in range(2):
        granted = grant(url, ROLE)
        assert granted.exit_code == 0, granted.output
    reader = f"host=127.0.0.1 port={cluster.port} dbname=granting user='{ROLE}'"
    with psycopg.connect(reader, autocommit=True) as connection:
        for view in VIEWS:
            assert connection.execute(f"SELECT * FROM {view}".encode()).fetchall() == []
        refused = psycopg.errors.InsufficientPrivilege
        for table in (*Base.metadata.tables, "alembic_version"):
            with pytest.raises(refused, match=table):
                connection.execute(f"SELECT 1 FROM {table}".encode())
        for words in (
            "DELETE FROM alerts",
            "DROP VIEW bifurk_v1_runs",
            "CREATE TABLE mine (a int)",
        ):
            with pytest.raises(refused):
                connection.execute(words.encode())
    assert set(VIEWS) == set(inspect(database.engine).get_view_names())
    database.close()


def test_a_role_that_is_not_there_is_named(cluster: Postgres) -> None:
    database = Database(cluster.bifurk("missing"))
    with pytest.raises(SetupError, match="there is no role 'nobody-here'"):
        grant_views(database, "nobody-here")
    database.close()


def test_sqlite_has_no_roles_to_let_in(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    database.close()
    refused = grant(database.url, "grafana").exception
    assert isinstance(refused, SetupError)
    assert refused.detail == (
        "only PostgreSQL has roles: set BIFURK_DATABASE_URL; "
        "whoever may read SQLite's file reads all of it"
    )
