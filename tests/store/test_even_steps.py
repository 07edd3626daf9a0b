"""Steps at even distances are whole snapshots of the course, and few however long it is."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest
from sqlalchemy import insert, update

from bifurk_service.store.engine import Database
from bifurk_service.store.even_steps import EvenSteps, even_steps, steps_around
from bifurk_service.store.models import Attempt, Snapshot
from bifurk_service.store.near import Steps
from bifurk_service.store.runs import attempt_of, ensure_run
from bifurk_service.store.snapshot_lists import measured_steps
from bifurk_service.store.timeline import timeline
from tests.database import fresh_database
from tests.instructions import instructions_of
from tests.written_run import SNAPSHOT

SHORT: Final = 150
LONG: Final = 1_200
POINTS: Final = 20
PLAIN, LONGER, RESUMED, THINNED = range(1, 5)
"""Ids of runs."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = fresh_database(tmp_path_factory.mktemp("even"))
    write(found, "plain", "first", [10 * place for place in range(SHORT)])
    write(found, "longer", "first", [10 * place for place in range(LONG)])
    write(found, "resumed", "first", [10 * place for place in range(100)])
    write(found, "resumed", "second", [705 + 7 * place for place in range(90)])
    write(found, "thinned", "first", [10 * place for place in range(SHORT)])
    with found.write() as session:
        gone = (Snapshot.sequence % 8 != 0) & (Snapshot.sequence < SHORT - 20)
        thinned = Attempt.run_id == THINNED
        session.execute(
            update(Snapshot)
            .where(gone, Snapshot.attempt_id == Attempt.id, thinned)
            .values(thinned=2)
        )
    yield found
    found.close()


def write(database: Database, run: str, attempt: str, steps: list[int]) -> None:
    with database.write() as session:
        stored = ensure_run(session, project="p", run=run, now=0.0)
        own = attempt_of(session, stored, attempt, now=0.0)
        rows = [
            {**SNAPSHOT, "attempt_id": own.id, "sequence": place, "step": step}
            for place, step in enumerate(steps)
        ]
        session.execute(insert(Snapshot), rows)


def even(
    database: Database, run: int, points: int = POINTS, near: Steps | None = None
) -> EvenSteps:
    with database.read() as session:
        return even_steps(session, timeline(session, run), points=points, near=near)


@pytest.mark.parametrize("run", [PLAIN, LONGER, RESUMED, THINNED])
def test_they_are_whole_and_few_and_reach_from_end_to_end(database: Database, run: int) -> None:
    found = even(database, run)
    with database.read() as session:
        every = measured_steps(session, run)
    assert set(found.steps.tolist()) <= set(every)
    assert (found.steps[0], found.steps[-1]) == (every[0], every[-1])
    assert POINTS / 2 <= len(found.steps) <= POINTS + 4
    assert np.diff(np.searchsorted(every, found.steps)).max() <= found.every


def test_where_few_are_there_none_is_left_out(database: Database) -> None:
    found = even(database, PLAIN, points=SHORT)
    assert (found.every, found.steps.tolist()) == (1, [10 * place for place in range(SHORT)])


def test_near_something_none_is_left_out(database: Database) -> None:
    found = even(database, RESUMED, near=(650, 750))
    kept = [one for one in found.steps.tolist() if 650 <= one <= 750]
    assert kept == [650, 660, 670, 680, 690, 700, 705, 712, 719, 726, 733, 740, 747]


@pytest.mark.parametrize("other", [PLAIN, LONGER, RESUMED, THINNED])
@pytest.mark.parametrize("run", [PLAIN, RESUMED, LONGER])
def test_those_around_are_the_nearest_on_either_side(
    database: Database, run: int, other: int
) -> None:
    steps = even(database, run).steps
    with database.read() as session:
        mine, course = timeline(session, run), timeline(session, other)
        found = steps_around(session, course, mine, steps).tolist()
        every = measured_steps(session, other)
    assert set(found) <= set(every)
    assert len(found) <= 2 * len(steps) + 4
    for step in steps.tolist():
        at = bisect.bisect_left(every, step)
        nearest = every[at : at + 1] if step in every else every[max(at - 1, 0) : at + 1]
        assert set(nearest) <= set(found), step


def test_longer_runs_take_no_longer(database: Database) -> None:
    def asked(run: int) -> int:
        with database.read() as session:
            course = timeline(session, run)
            return instructions_of(
                session,
                lambda: steps_around(
                    session, course, course, even_steps(session, course, points=POINTS).steps
                ),
            )

    short, long = asked(PLAIN), asked(LONGER)
    assert long <= 1.5 * short, (short, long)
