"""A tensor at one step: only that step is read, whatever length the run has."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bifurk_service.access import ANYONE
from bifurk_service.pages.tensor_course import read_course
from bifurk_service.pages.tensor_step import asked
from bifurk_service.pages.views import TensorView
from bifurk_service.store.tensor_courses import course_step
from tests.database import fresh_database
from tests.written_run import WrittenRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrittenRun]:
    """Steps 20 to 390; from 250 on a second attempt's, up to 300."""
    database = fresh_database(tmp_path_factory.mktemp("steps"))
    found = WrittenRun(database)
    found.judge(range(2, 40))
    found.judge(range(25, 31), attempt=found.begin("second"))
    yield found
    database.close()


@pytest.mark.parametrize("step", [None, 0, 19, 20, 25, 249, 250, 255, 300, 301, 390, 10**18])
def test_the_step_is_the_one_of_the_whole_course(run: WrittenRun, step: int | None) -> None:
    with run.database.read() as session:
        course = read_course(session, run.id, run.tensors[0])
        assert course.steps[-1] == 300
        before = [one for one in course.steps.tolist() if step is None or one <= step]
        nearest = before[-1] if before else course.steps[0]
        assert course_step(session, run.id, run.tensors[0], step) == nearest
        assert course_step(session, run.id, 999, step) is None


def test_no_other_step_is_read(run: WrittenRun) -> None:
    services = SimpleNamespace(database=run.database)
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(services=services)))
    found = asked(request, ANYONE, run.id, run.tensors[0], TensorView(step=117))
    assert found.at is not None
    assert found.at.snapshot.step == 110
    assert found.course.steps.tolist() == [110]
    assert found.course.values["mean"].tolist() == [-1.0]
