"""A long run against good ones: some of its snapshots, at which all is as every value tells it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from bifurk_service.errors import InvalidError
from bifurk_service.pages import held_courses
from bifurk_service.pages.baselines import Held, held_against, title_of_held
from bifurk_service.pages.courses import CourseCache
from bifurk_service.pages.held_courses import WHOLE
from bifurk_service.pages.views import CompareView
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.run_lists import run_summary
from tests.compared_runs import write_attempt, write_run
from tests.database import fresh_database
from tests.instructions import instructions_of

SHORT: Final = 160
LONG: Final = 480
LEAVES: Final = 0.7
"""Of its length, from where on a run is three times as large."""
GRIDS: Final = ((10, 0), (10, 0), (15, 5))
"""Between the steps of a good run, and its first."""
VIEW: Final = CompareView.model_validate({"a": "1", "stat": "std"})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = fresh_database(tmp_path_factory.mktemp("held"))
    for length in (SHORT, LONG):
        for number, (every, first) in enumerate(((10, 0), *GRIDS)):
            name = f"run {number} of {length}"
            count = (10 * length - first - 1) // every + 1
            random = np.random.default_rng([length, number])
            values = np.full((3, 1), 1.0 + 0.1 * (number - 2 if number else 0))
            values = values * np.exp(0.02 * random.standard_normal((3, count)))
            if not number:
                values[:, int(LEAVES * count) :] *= 3.0
            write_run(found, name)
            steps = [first + every * place for place in range(count)]
            write_attempt(found, name, "first", steps, {"std": values})
    yield found
    found.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_courses, "MOST_SINGLE", 0)
    monkeypatch.setattr(held_courses, "MOST_POINTS", 40)
    monkeypatch.setattr(held_courses, "FEWEST_POINTS", 4)


def held(session: Session, length: int, **how: Any) -> list[Held]:
    first = 1 if length == SHORT else 5
    good = [run_summary(session, first + number) for number in (1, 2, 3)]
    state: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(courses=CourseCache())))
    return held_against(state, session, first, good, VIEW, **how)


@pytest.mark.parametrize("length", [SHORT, LONG])
@pytest.mark.usefixtures("few")
def test_at_the_snapshots_held_all_is_as_every_value_tells_it(
    database: Database, length: int
) -> None:
    with database.read() as session:
        whole, some = held(session, length, near=WHOLE), held(session, length)
    for every, found in zip(whole, some, strict=True):
        at = np.searchsorted(every.band.steps, found.band.steps)
        assert (every.every, found.every) == (1, 4 if length == SHORT else 16)
        assert len(at) <= 42
        np.testing.assert_array_equal(found.values, every.values[at])
        for name in ("steps", "low", "middle", "high", "runs"):
            np.testing.assert_allclose(
                getattr(found.band, name), getattr(every.band, name)[at], rtol=1e-12
            )
        assert every.left is not None
        assert found.left is not None
        assert 0 <= found.left.step - every.left.step < 10 * found.every
        assert "one snapshot in" not in title_of_held(every, BY_NAME["std"])
        assert title_of_held(found, BY_NAME["std"]).endswith(f"; one snapshot in {found.every}")


@pytest.mark.usefixtures("few")
def test_near_something_every_value_is_held(database: Database) -> None:
    with database.read() as session:
        [found] = held(session, LONG, near=(1_000, 1_200), only="h.1.w")
    assert [one for one in found.band.steps if 1_000 <= one <= 1_200] == [*range(1_000, 1_201, 10)]


@pytest.mark.usefixtures("few")
def test_longer_runs_take_no_longer(database: Database) -> None:
    with database.read() as session:
        short, long = (
            instructions_of(session, lambda length=length: held(session, length))
            for length in (SHORT, LONG)
        )
    assert long <= 1.2 * short, (short, long)


@pytest.mark.parametrize(("most", "is_refused"), [(10_000, False), (5_000, True)])
def test_with_too_many_tensors_every_value_is_read_or_none(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int, is_refused: bool
) -> None:  # fmt: skip
    monkeypatch.setattr(held_courses, "MOST_SINGLE", 0)
    monkeypatch.setattr(held_courses, "MOST_AT_SOME", 100)
    monkeypatch.setattr(held_courses, "MOST_WHOLE", most)
    with database.read() as session:
        if is_refused:
            with pytest.raises(InvalidError, match="more than 5,000; name a role or a glob"):
                held(session, LONG)
        else:
            assert held(session, LONG)[0].every == 1
