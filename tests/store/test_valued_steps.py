"""The nearest step with a value is that of the whole series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest

from bifurk_service.store.engine import Database
from bifurk_service.store.outlined_series import Asked, are_long
from bifurk_service.store.valued_steps import nearest_valued, values_at
from tests.compared_runs import condense_all, write_attempt, write_run
from tests.database import fresh_database

LENGTH: Final = 400
EVERY: Final = [10 * place for place in range(LENGTH)]
TENSORS: Final = [1, 2]


@pytest.fixture(scope="module")
def rare() -> np.ndarray:
    """Of three tensors, a value in one of thirty snapshots; none of the last two hundred."""
    random = np.random.default_rng(8)
    values = np.where(random.random((3, LENGTH)) < 1 / 30, 1.0 + random.random((3, LENGTH)), np.nan)
    values[:, 200:] = np.nan
    values[0, 130] = values[1, 110] = 1.0
    values[:2, 111:130] = np.nan
    return values


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, rare: np.ndarray) -> Iterator[Database]:
    found = fresh_database(tmp_path_factory.mktemp("valued"))
    write_run(found, "r")
    write_attempt(found, "r", "first", EVERY[:190], {"std": rare[:, :190]})
    write_attempt(found, "r", "second", EVERY[150:], {"std": rare[:, 150:]})
    condense_all(found)
    yield found
    found.close()


@pytest.mark.parametrize("tensors", [TENSORS, TENSORS[:1]])
def test_it_is_that_of_the_whole_series(
    database: Database, rare: np.ndarray, tensors: list[int]
) -> None:
    rows = rare[[one - 1 for one in tensors]]
    valued = np.array(EVERY)[np.isfinite(rows).any(axis=0)]
    asked = Asked(run_id=1, statistic="std", tensor_ids=tensors, points=8)
    with database.read() as session:
        assert are_long(session, asked)
        for step in (0, 7, 500, 1_199, 1_200, 1_201, 1_605, 1_990, 2_100, 3_990, 10**6):
            found = nearest_valued(session, asked, step)
            assert found == valued[np.argmin(np.abs(valued - step))], step
            assert found is not None
            np.testing.assert_array_equal(values_at(session, asked, found), rows[:, found // 10])


def test_there_is_none_without_a_value(database: Database) -> None:
    asked = Asked(run_id=1, statistic="mean", tensor_ids=TENSORS, points=8)
    with database.read() as session:
        assert nearest_valued(session, asked, 100) is None
        assert np.isnan(values_at(session, asked, 100)).all()
