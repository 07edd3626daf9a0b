"""The page of comparisons draws long runs from what is condensed, and loses no extreme."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from bifurk_service.access.requiring import ANYONE
from bifurk_service.figures.comparison import SideCourse
from bifurk_service.pages import compared_courses as drawn
from bifurk_service.pages.compared import compared
from bifurk_service.pages.courses import CourseCache
from bifurk_service.pages.views import CompareView
from bifurk_service.store.courses import read_courses
from bifurk_service.store.engine import Database
from bifurk_service.store.newest_values import newest_values
from bifurk_service.store.series import find_tensors
from tests.compared_runs import condense_all, write_attempt, write_run
from tests.database import fresh_database
from tests.instructions import instructions_of

LENGTH: Final = 300
SPIKE: Final = 77
OTHER_STEP: Final = 1230


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Run 1 went back to step 2000; run 2 is short; of both a statistic is rarely there."""
    found = fresh_database(tmp_path_factory.mktemp("drawn"))
    random = np.random.default_rng(3)
    std = 0.02 * np.exp(0.02 * random.standard_normal((3, LENGTH)))
    std[0, SPIKE] *= 9.0
    rank = np.where(random.random((3, LENGTH)) < 0.02, std, np.nan)
    rank[1] = np.nan
    values = {"std": std, "stable_rank": rank}
    every = [10 * place for place in range(LENGTH)]
    write_run(found, "long")
    write_attempt(found, "long", "first", every[:220], {k: v[:, :220] for k, v in values.items()})
    write_attempt(found, "long", "second", every[200:], {k: v[:, 200:] for k, v in values.items()})
    write_run(found, "short")
    write_attempt(found, "short", "first", every[:130], {k: v[:, :130] for k, v in values.items()})
    condense_all(found)
    yield found
    found.close()


def courses(database: Database, *, most_single: int | None) -> list[SideCourse]:
    state = SimpleNamespace(services=SimpleNamespace(database=database), courses=CourseCache())
    request: Any = SimpleNamespace(app=SimpleNamespace(state=state))
    view = CompareView(a="1", b="2", a_step=str(OTHER_STEP), tensor="h.0.w")
    with database.read() as session:
        found = compared(session, ANYONE, view)
    assert found is not None
    return drawn.compared_courses(request, found, view, most_single=most_single)


def test_fewer_points_keep_the_extremes_and_the_marks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = courses(database, most_single=None)
    monkeypatch.setattr(drawn, "MOST_POINTS", 24)
    monkeypatch.setattr(drawn, "MOST_COLUMNS", 8)
    outlined = courses(database, most_single=0)
    assert len(outlined) == len(whole) == 2
    for mine, every in zip(outlined, whole, strict=True):
        known = dict(zip(every.steps.tolist(), every.values.tolist(), strict=True))
        assert len(mine.steps) < len(every.steps) / 3
        assert {step: known[step] for step in mine.steps.tolist()} == dict(
            zip(mine.steps.tolist(), mine.values.tolist(), strict=True)
        )
        assert {10 * SPIKE, OTHER_STEP, every.steps[0], every.steps[-1]} <= set(mine.steps.tolist())
        assert (mine.values.min(), mine.values.max()) == (every.values.min(), every.values.max())
        check_shade(mine, every)


def check_shade(mine: SideCourse, every: SideCourse) -> None:
    """Nothing of the group lies outside of it."""
    assert mine.low is not None
    assert mine.high is not None
    assert mine.shade_x is not None
    assert every.low is not None
    assert every.high is not None
    assert len(mine.shade_x) < len(every.x)
    low, high = (np.interp(every.x, mine.shade_x, one) for one in (mine.low, mine.high))
    assert (low <= every.low).all()
    assert (high >= every.high).all()


@pytest.mark.parametrize("statistic", ["std", "stable_rank"])
def test_the_newest_values_are_those_of_the_whole_course(
    database: Database, statistic: str
) -> None:
    with database.read() as session:
        ids = [tensor.id for tensor in find_tensors(session, 1)]
        read = read_courses(session, 1, statistic, ids)
        for step in (0, 40, 770, 1990, 2000, 2150, 2990):
            upto = read.values[:, read.steps <= step]
            expected = [row[np.isfinite(row)][-1:].tolist() or [np.nan] for row in upto]
            found = newest_values(session, 1, statistic, ids, step)
            np.testing.assert_array_equal(found, np.concatenate(expected), str(step))


def test_newest_values_take_no_longer_in_a_longer_run(database: Database) -> None:
    counts = []
    with database.read() as session:
        for run_id in (2, 1):
            ids = [find_tensors(session, run_id)[1].id]
            counts.append(
                instructions_of(
                    session,
                    lambda run_id=run_id, ids=ids: newest_values(
                        session, run_id, "stable_rank", ids, 1290
                    ),
                )
            )
    assert counts[1] < 1.5 * counts[0], counts
