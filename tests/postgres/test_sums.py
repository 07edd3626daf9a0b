"""The sums of what is stored, which triggers keep, hold on PostgreSQL as they do on SQLite."""

from __future__ import annotations

from bifurk_service.store.engine import Database
from bifurk_service.store.runs import delete_run
from tests.store.summed import check_sums
from tests.store.test_sums import added_up_anew, changed


def test_sums_are_what_is_counted(database: Database) -> None:
    run = changed(database)
    check_sums(database)
    added_up_anew(database)
    with database.write() as session:
        delete_run(session, run.id)
    check_sums(database)
