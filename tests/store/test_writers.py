"""Whose an attempt is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt
from bifurk_service.store.runs import ensure_attempt
from bifurk_service.store.writers import AttemptTakenError, claim
from tests.database import fresh_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def claimed(database: Database, writer: str | None) -> str | None:
    with database.write() as session:
        attempt = ensure_attempt(session, project="p", run="r", attempt="a", now=0.0)
        claim(session, attempt, writer)
        return attempt.writer


def test_an_attempt_is_the_first_writer_s_for_good(database: Database) -> None:
    assert claimed(database, None) is None
    assert claimed(database, "one") == "one"
    assert claimed(database, "one") == "one"
    assert claimed(database, None) == "one"
    with pytest.raises(AttemptTakenError, match=r"another process \(one, this one is two\)"):
        claimed(database, "two")
    assert claimed(database, "one") == "one"


def test_who_has_read_that_it_is_nobody_s_finds_out_that_it_is_not_any_more(
    database: Database,
) -> None:
    claimed(database, None)
    with database.read() as session:
        seen = session.get_one(Attempt, 1)
        assert seen.writer is None
    claimed(database, "one")
    with database.write() as session, pytest.raises(AttemptTakenError):
        claim(session, session.merge(seen, load=False), "two")
