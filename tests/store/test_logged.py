"""Scalars of one step, said twice, add up, however large their counts are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bifurk.wire import ScalarSummary
from bifurk_service.store.engine import Database
from bifurk_service.store.logged import MOST_COUNTED, keep_scalars
from bifurk_service.store.models import SeriesPoint
from bifurk_service.store.runs import ensure_attempt
from tests.database import fresh_database

LARGEST_ON_THE_WIRE = (1 << 63) - 1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


def keep(database: Database, value: float, count: int) -> None:
    loss = ScalarSummary(last=value, mean=value, min=value, max=value, count=count)
    with database.write() as session:
        attempt = ensure_attempt(session, project="tests", run="run", attempt="first", now=1.0)
        keep_scalars(session, attempt, 10, {"loss": loss})


@pytest.mark.parametrize("count", [MOST_COUNTED, 1 << 62, LARGEST_ON_THE_WIRE])
def test_counts_beyond_any_training_are_clipped(database: Database, count: int) -> None:
    for value in (1.0, 3.0, 3.0):
        keep(database, value, count)
    with database.read() as session:
        [point] = session.scalars(select(SeriesPoint))
    assert point.count == MOST_COUNTED == 2**53
    assert (point.last, point.min, point.max) == (3.0, 1.0, 3.0)
    assert point.mean is not None
    assert 2.0 <= point.mean <= 3.0
