"""Of ten thousand stored snapshots PostgreSQL goes through few, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from sqlalchemy import select, text

from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.newest_values import newest_values
from tests.deploy.postgres import Postgres
from tests.postgres.grown import SNAPSHOTS, write_grown
from tests.store.test_growth import QUERIES, Query

ASKED: Final[Mapping[str, Query]] = {
    **QUERIES,
    "the newest values that there are": lambda s, a, n: newest_values(
        s, a.run_id, "excess_kurtosis", [1, 2], n.step
    ),
}
MOST: Final = SNAPSHOTS // 4
"""Rows of tables and entries of indexes gone through: where two runs part, and a step with a value,
take up to 1,600 in many looks, and nothing else 500."""
GONE_THROUGH: Final = text("""
    SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class
    WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
""")
"""In this transaction so far. Unlike what EXPLAIN says it is counted where the query is made; a
scan of a table that ends with its first rows counts as these."""


@pytest.fixture(scope="module")
def grown(cluster: Postgres) -> Iterator[Database]:
    database = Database(cluster.bifurk("grown"))
    write_grown(database)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    yield database
    database.close()


@pytest.mark.parametrize("name", ASKED)
def test_a_question_about_a_long_run_goes_through_little_of_it(name: str, grown: Database) -> None:
    with grown.read() as session:
        attempt = session.get_one(Attempt, 1)
        own = select(Snapshot).where(Snapshot.attempt_id == attempt.id)
        newest = session.scalars(own.order_by(Snapshot.sequence.desc()).limit(1)).one()
        before = gone_through(session)
        ASKED[name](session, attempt, newest)
        assert gone_through(session) - before <= MOST


def test_what_goes_through_all_of_it_is_counted(grown: Database) -> None:
    with grown.read() as session:
        before = gone_through(session)
        session.execute(text("SELECT count(std) FROM tensor_stats WHERE attempt_id = 1")).all()
        assert gone_through(session) - before >= SNAPSHOTS


def gone_through(session: Session) -> int:
    return int(session.execute(GONE_THROUGH).scalar_one())
