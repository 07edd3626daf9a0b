"""What is condensed tells the extremes of what is stored, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.condensed_courses import RATE, STEPS
from bifurk_service.store.condensing import condense, keep_condensed
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, ExtremesRow
from bifurk_service.store.runs import delete_run
from tests.database import fresh_database
from tests.store.condensed import check, condensed_rows, spans_of
from tests.store.outlined import check_outlined
from tests.written_run import WrittenRun

ENOUGH = 4_300
"""Snapshots that fill a row of each of the three levels."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(tmp_path)
    yield made
    made.close()


def test_every_step_is_told_once_at_every_width(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(ENOUGH))
    condense_due(database, most_seconds=60)
    assert condensed_rows(database) == {1: 67, 2: 8, 3: 1}
    widths = {}
    for widest in (-1, 70, 640, np.inf):
        spans = spans_of(run, widest=widest)
        check(run, spans)
        widths[widest] = len(spans.first)
    for points in (4, 10, 60, 400):
        check_outlined(run, points)
    assert widths[-1] == ENOUGH
    assert widths[70] < ENOUGH / 6
    assert widths[640] < widths[70] / 3
    # 64 first ones, 7 of 64 up to the first of 512, 7 of those, and what no longer row tells of.
    assert widths[np.inf] == 64 + 7 + 7 + (4288 - 4096) // 8 + ENOUGH - 4288


def test_what_is_not_judged_yet_is_read_one_by_one(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(63))
    assert condense_due(database, most_seconds=60) == 0
    check(run, spans_of(run))
    run.judge(range(63, 150))
    assert condense_due(database, most_seconds=60) == 2
    check(run, spans_of(run))


def test_a_little_is_done_at_a_time(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(200))
    seconds = iter([0.0, 0.4, 0.6, 5.0, 5.6])
    assert condense_due(database, most_seconds=0.5, monotonic=lambda: next(seconds)) == 2
    assert condense_due(database, most_seconds=0.5, monotonic=lambda: next(seconds)) == 1
    assert condense_due(database, most_seconds=0.5, monotonic=lambda: 0.0) == 0


def test_a_snapshot_that_comes_late_is_told_of(database: Database) -> None:
    run = WrittenRun(database)
    run.judge([*range(70), *range(71, 600)])
    condense_due(database, most_seconds=60)
    assert condensed_rows(database) == {1: 9, 2: 1}
    run.judge([70])
    assert condensed_rows(database) == {1: 1}
    check(run, spans_of(run))
    condense_due(database, most_seconds=60)
    assert condensed_rows(database) == {1: 9, 2: 1}
    check(run, spans_of(run))


def test_a_snapshot_measured_while_its_stretch_is_condensed_is_not_missed(
    database: Database,
) -> None:
    run = WrittenRun(database)
    run.judge([*range(40), *range(41, 64)])
    with database.read() as session:
        without = condense(session, run.attempt)
    assert without is not None
    run.judge([40])
    with database.write() as session:
        assert not keep_condensed(session, run.attempt, without)
    assert condensed_rows(database) == {}


def test_gaps_and_tensors_that_came_later(database: Database) -> None:
    run = WrittenRun(database)
    run.judge([*range(100), *range(180, 300)])
    condense_due(database, most_seconds=60)
    run.tensors.append(run.add_tensor("later"))
    run.judge(range(300, 420))
    condense_due(database, most_seconds=60)
    check(run, spans_of(run))


def test_a_gap_however_wide_is_stepped_over(database: Database) -> None:
    run = WrittenRun(database)
    far = 2_000_000_000
    run.judge([*range(70), *range(far, far + 200)])
    later = run.begin("second")
    assert condense_due(database, most_seconds=60) == 5
    check(run, spans_of(run))
    with database.read() as session:
        assert session.get_one(Attempt, run.attempt).condensed > far
        assert session.get_one(Attempt, later).condensed == 0


def test_no_attempt_waits_for_another_that_is_long(database: Database) -> None:
    long = WrittenRun(database)
    long.judge(range(640))
    other = long.begin("second")
    long.judge(range(700, 828), attempt=other)
    seconds = iter([0.0, 1.0, 2.0])
    assert condense_due(database, most_seconds=1.5, monotonic=lambda: next(seconds)) == 2
    with database.read() as session:
        assert session.get_one(Attempt, long.attempt).condensed == 64
        assert session.get_one(Attempt, other).condensed == 764 - 764 % 64


def test_where_a_later_attempt_takes_over_the_earlier_one_ends(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(300))
    condense_due(database, most_seconds=60)
    for place in [one for one in run.values if one[1] >= 2_000]:
        del run.values[place]
    later = run.begin("second")
    run.judge(range(200, 420), attempt=later)
    condense_due(database, most_seconds=60)
    check(run, spans_of(run))


def test_a_statistic_that_no_row_tells_of_is_read_one_by_one(database: Database) -> None:
    """As after an upgrade that brought it."""
    run = WrittenRun(database)
    run.judge(range(130))
    condense_due(database, most_seconds=60)
    with database.write() as session:
        session.execute(ExtremesRow.__table__.delete().where(ExtremesRow.statistic == "std"))
    check(run, spans_of(run))
    assert len(spans_of(run, statistic="mean").first) == 64 + 8 + 2


def test_rows_go_with_their_run(database: Database) -> None:
    run = WrittenRun(database)
    run.judge(range(64))
    condense_due(database, most_seconds=60)
    with database.write() as session:
        count = session.scalar(select(func.count()).select_from(ExtremesRow))
        assert count == len({*STATISTIC_NAMES, STEPS, RATE})
        delete_run(session, run.id)
    assert condensed_rows(database) == {}
    assert condense_due(database) == 0


def test_a_run_without_anything_has_no_spans(database: Database) -> None:
    run = WrittenRun(database)
    spans = spans_of(run)
    assert spans.low.shape == (2, 0)
    assert spans.steps().size == 0
