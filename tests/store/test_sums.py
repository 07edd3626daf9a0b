"""Sums of what is stored are what counting gives, whatever was done to the rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Update, select, update

from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.models import Snapshot, Tensor
from bifurk_service.store.runs import delete_run
from bifurk_service.store.snapshots import MEASURED
from bifurk_service.store.sums import judged_so_far, measured_until, snapshot_counts, sums_of
from tests.database import fresh_database
from tests.store.summed import change_at_random, check_sums, check_sums_in
from tests.written_run import WrittenRun

ROUNDS = 8


def changed(database: Database) -> WrittenRun:
    """A run whose rows were changed at random again and again; the sums were right each time."""
    run = WrittenRun(database, tensors=1)
    attempts = [run.attempt, run.begin("second"), run.begin("third")]
    with database.write() as session:
        tensor = session.get_one(Tensor, run.tensors[0])
        for seed in range(ROUNDS):
            change_at_random(session, attempts, tensor, seed)
            check_sums_in(session)
    return run


def test_sums_are_what_is_counted_and_go_with_their_run(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    run = changed(database)
    with database.read() as session:
        assert sums_of(session, run.id).snapshots > 9, "something was left to be counted"
    added_up_anew(database)
    with database.write() as session:
        delete_run(session, run.id)
    check_sums(database)
    database.close()


def added_up_anew(database: Database) -> None:
    """As an upgrade does what an older version has stored."""
    config = alembic_config(database.url)
    command.downgrade(config, "20261209_sums-1")
    with database.write() as session:
        change_at_random(session, [1, 2, 3], session.scalars(select(Tensor)).one(), 99, older=True)
    command.upgrade(config, "head")
    check_sums(database)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WrittenRun:
    database = fresh_database(tmp_path_factory.mktemp("summed"))
    run = WrittenRun(database)
    run.judge(range(30))
    run.judge(range(5, 12), attempt=run.begin("second"))
    with database.write() as session:
        session.execute(_one(29).values(state=MEASURED))
        session.execute(_one(28).values(off_grid=True))
        session.execute(_one(27).values(measured_at=None))
    return run


def _one(sequence: int) -> Update:
    return update(Snapshot).where(Snapshot.sequence == sequence)


def test_states_are_told_and_how_far_judging_has_come(run: WrittenRun) -> None:
    with run.database.read() as session:
        counts = snapshot_counts(session, run.id)
        assert counts == {"received": 0, "measured": 1, "judged": 36, "late": 0, "failed": 0}
        judged = judged_so_far(session, run.attempt)
        assert (judged.count, judged.last_step, judged.interval_steps) == (28, 270, 10)
        none = judged_so_far(session, -1)
        assert (none.count, none.last_step, none.interval_steps) == (0, None, None)


@pytest.mark.parametrize(
    ("until", "count", "last"),
    [(None, 36, 290), (290, 36, 290), (279, 34, 260), (70, 11, 70), (-1, 0, -1)],
)
def test_how_many_were_measured_up_to_a_step(
    run: WrittenRun, until: int | None, count: int, last: int
) -> None:
    with run.database.read() as session:
        assert measured_until(session, run.id, until) == (count, last)
