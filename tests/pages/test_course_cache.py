"""What is kept of courses is what is stored, in whatever order snapshots are measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from bifurk_service.pages.courses import CourseCache
from bifurk_service.store.engine import Database
from bifurk_service.store.models import TENSOR_STATS, Snapshot, Tensor
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.database import fresh_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(tmp_path)
    yield made
    made.close()


class Run:
    """A run of one tensor whose snapshots are measured when told to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as session:
            run = ensure_run(session, project="p", run="r", now=0.0)
            self.attempt = attempt_of(session, run, "first", now=0.0).id
            tensor = Tensor(run_id=run.id, name="w", role="other", shape=[2], dtype="float32")
            session.add(tensor)
            session.flush()
            self.id, self.tensor = run.id, tensor.id

    def measure(self, *steps: int) -> None:
        with self.database.write() as session:
            for step in steps:
                session.add(
                    Snapshot(
                        attempt_id=self.attempt,
                        sequence=step,
                        step=step,
                        off_grid=False,
                        state="measured",
                        tries=0,
                        expected_parts=1,
                        received_parts=1,
                        coverage=1.0,
                        wall_clock=0.0,
                        received_at=0.0,
                        measured_at=1.0,
                        learning_rates=[],
                    )
                )
                row = {"tensor_id": self.tensor, "attempt_id": self.attempt, "step": step}
                session.execute(insert(TENSOR_STATS), [{**row, "std": float(step)}])

    def steps(self, cache: CourseCache) -> list[int]:
        with self.database.read() as session:
            found = cache.courses(session, self.id, "std", [self.tensor])
        np.testing.assert_array_equal(found.values[0], found.steps)
        return found.steps.tolist()


def test_what_is_new_is_added(database: Database) -> None:
    run, cache = Run(database), CourseCache()
    assert run.steps(cache) == []
    run.measure(0, 1, 2)
    assert run.steps(cache) == [0, 1, 2]
    run.measure(3, 8)
    assert run.steps(cache) == [0, 1, 2, 3, 8]
    assert run.steps(cache) == [0, 1, 2, 3, 8]


def test_a_snapshot_that_is_measured_late_is_not_lost(database: Database) -> None:
    run, cache = Run(database), CourseCache()
    run.measure(0, 1, 4, 5)
    assert run.steps(cache) == [0, 1, 4, 5]
    run.measure(2, 6)
    assert run.steps(cache) == [0, 1, 2, 4, 5, 6]


def test_the_cache_stays_within_its_bytes(database: Database) -> None:
    run, cache = Run(database), CourseCache(most_bytes=40)
    run.measure(0, 1, 2)
    assert run.steps(cache) == [0, 1, 2]
    assert cache._kept == {}
