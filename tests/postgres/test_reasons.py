"""Reasons on PostgreSQL, where several processes write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import text

from bifurk_service.store.engine import Database
from bifurk_service.store.models import Reasons
from bifurk_service.store.reasons import reasons_ids
from bifurk_service.store.runs import ensure_run
from tests.server import DEADLINE_SECONDS, wait_for
from tests.store.reasoned import (
    check_it_goes_down_and_up,
    check_they_go_with_their_run,
    count,
    measured_house,
)

SOME = [{"std": "empty"}, {"std": "zero"}]
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def test_what_an_earlier_version_wrote_is_told_alike(database: Database, tmp_path: Path) -> None:
    house = measured_house(tmp_path, database)
    check_it_goes_down_and_up(house)
    check_they_go_with_their_run(house)


def test_two_workers_that_bring_the_same_at_once_share_it(database: Database) -> None:
    other = Database(database.url)
    with database.write() as session:
        run_id = ensure_run(session, project="p", run="r", now=0.0).id

    def bring_too() -> list[int | None]:
        with other.write(in_line=False) as session:
            return reasons_ids(session, run_id, SOME[::-1])

    with ThreadPoolExecutor(1) as thread:
        with database.write(in_line=False) as session:
            first = reasons_ids(session, run_id, SOME)
            second = thread.submit(bring_too)
            wait_for(lambda: waiting(database) > 0, "the second to wait for the first")
        assert second.result(DEADLINE_SECONDS) == first[::-1]
    assert count(database, Reasons) == len(SOME)
    other.close()


def waiting(database: Database) -> int:
    with database.read() as session:
        return session.scalar(text(WAITING)) or 0
