"""A server's insides, and runs with a baseline, for every test of the pipeline that wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.notify.alerts_file import Rule
from bifurk_service.notify.baselines import Baseline
from bifurk_service.notify.rules import Policy
from bifurk_service.pipeline.baselines import BaselineKeeper
from tests.database import fresh_database
from tests.pipeline.baselined import Keep, Runs, baseline, copied
from tests.pipeline.house import House

EVERYTHING = Rule(name="all", action="notify", channels=("team",))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.pipeline.stop()
    house.database.close()


@pytest.fixture(scope="session")
def good_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the good runs; every test has a copy."""
    folder = tmp_path_factory.mktemp("good")
    database = fresh_database(folder)
    Runs(database).good()
    database.close()
    return folder / "test.db"


@pytest.fixture
def runs(good_runs: Path, tmp_path: Path) -> Iterator[Runs]:
    with copied(good_runs, tmp_path / "test.db") as found:
        yield found


@pytest.fixture
def keep(runs: Runs) -> Keep:
    def keep(
        *held: Baseline, rules: Sequence[Rule] = (EVERYTHING,), **given: Any
    ) -> BaselineKeeper:
        wanted = held or (baseline(),)
        return BaselineKeeper(
            runs.database,
            baselines=lambda: wanted,
            policy=Policy(rules=tuple(rules)),
            **{"budget_seconds": 1e9, **given},
        )

    return keep
