"""`bifurk token` and `bifurk db`: made, listed, revoked; up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifurk_service.commands.audit import operator
from bifurk_service.store.audit import acts
from bifurk_service.store.engine import Database
from tests.cli.conftest import Run, document


def test_a_token_is_made_listed_without_its_secret_and_revoked(bifurk: Run) -> None:
    made = bifurk("token", "create", "trainer", "--project", "vision", "--days", "30")
    assert made.returncode == 0
    token = made.stdout.strip()
    assert token.startswith("bifurk_1_")
    listed = bifurk("token", "ls")
    assert token.split("_", 2)[2] not in listed.stdout
    header, line = listed.stdout.splitlines()
    assert header.split("\t") == [
        "ID",
        "NAME",
        "SCOPE",
        "PROJECT",
        "MADE",
        "VALID UNTIL",
        "LAST USED",
    ]
    assert line.split("\t")[:4] == ["1", "trainer", "write", "vision"]
    revoked = bifurk("token", "revoke", "1")
    assert revoked.returncode == 0
    assert "open to everybody on its machine" in revoked.stdout
    assert document(bifurk("token", "ls", "--json")) == []


def test_a_token_without_days_is_valid_for_good(bifurk: Run) -> None:
    bifurk("token", "create", "person", "--scope", "admin")
    [token] = document(bifurk("token", "ls", "--json"))
    assert (token["scope"], token["project"], token["expires_at"]) == ("admin", None, None)
    assert bifurk("token", "ls").stdout.rstrip().endswith("for good\tnever")


def test_a_token_that_is_not_there_cannot_be_revoked(bifurk: Run) -> None:
    answer = bifurk("token", "revoke", "3")
    assert answer.returncode == 1
    assert "no token 3" in answer.stderr


def test_a_token_is_rotated_by_its_name(bifurk: Run) -> None:
    made = bifurk("token", "create", "trainer").stdout.strip()
    rotated = bifurk("token", "rotate", "trainer", "--grace", "2", "--days", "3")
    token = rotated.stdout.strip()
    assert token.startswith("bifurk_1_")
    assert token != made
    [listed] = document(bifurk("token", "ls", "--json"))
    assert listed["expires_at"] - listed["previous_until"] == pytest.approx(70 * 3600)
    assert bifurk("token", "rotate", "nobody").returncode == 1


def test_the_log_says_who_made_and_rotated_a_token_at_the_command_line(
    bifurk: Run, tmp_path: Path
) -> None:
    token = bifurk("token", "create", "trainer").stdout.strip()
    bifurk("token", "rotate", "trainer")
    database = Database(f"sqlite:///{tmp_path / 'bifurk-data' / 'bifurk.db'}")
    with database.read() as session:
        found = acts(session, limit=10)
    database.close()
    assert [(one.action, one.address) for one in found] == [
        ("token_made", None), ("token_rotated", None),
    ]  # fmt: skip
    assert {one.who for one in found} == {operator().who}
    assert token.split("_", 2)[2] not in repr([vars(one) for one in found])


def test_a_project_that_cannot_be_is_refused(bifurk: Run) -> None:
    answer = bifurk("token", "create", "x", "--project", "../etc")
    assert answer.returncode == 1
    assert "project" in answer.stderr


def test_the_schema_is_brought_up_to_date(bifurk: Run) -> None:
    for _ in range(2):
        answer = bifurk("db", "upgrade")
        assert answer.returncode == 0
        assert "up to date" in answer.stdout


def test_the_migrations_give_the_declared_schema(bifurk: Run) -> None:
    assert bifurk("db", "check").returncode == 0
