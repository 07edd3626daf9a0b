"""Which of a tensor's steps are given where there are many, and that a longer run keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import delete

from bifurk_service.store.carried_steps import CarriedSteps, carried_steps, nearest_carried
from bifurk_service.store.models import TENSOR_STATS, Tensor
from bifurk_service.store.timeline import timeline
from tests.database import fresh_database
from tests.written_run import WrittenRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrittenRun]:
    """Steps 20 to 3990; from 2500 on a second attempt's, up to 3990; some lie apart."""
    found = WrittenRun(fresh_database(tmp_path_factory.mktemp("carried")))
    found.judge([*range(2, 300), *range(1_000, 1_004)])
    found.judge(range(250, 400), attempt=found.begin("second"))
    with found.database.write() as session:
        gone = (TENSOR_STATS.c.step % 30 == 0) & (TENSOR_STATS.c.tensor_id == found.tensors[1])
        session.execute(delete(TENSOR_STATS).where(gone))
    yield found
    found.database.close()


def carried(run: WrittenRun, tensor: int, most: int, **between: int) -> CarriedSteps:
    with run.database.read() as session:
        course = timeline(session, run.id)
        return carried_steps(
            session, "statistics", run.tensors[tensor], course, most=most, **between
        )


def every(tensor: int) -> list[int]:
    return [10 * at for at in range(2, 400) if not tensor or at % 3]


@pytest.mark.parametrize("tensor", [0, 1])
def test_few_are_all_there(run: WrittenRun, tensor: int) -> None:
    found = carried(run, tensor, 400)
    assert found.is_whole
    assert found.steps.tolist() == every(tensor)
    found = carried(run, tensor, 30, first_step=2_405, last_step=2_600)
    assert found.is_whole
    assert found.steps.tolist() == [one for one in every(tensor) if 2_405 <= one <= 2_600]


@pytest.mark.parametrize("tensor", [0, 1])
@pytest.mark.parametrize("most", [3, 7, 50, 130, 250])
@pytest.mark.parametrize("between", [{}, {"first_step": 1_005, "last_step": 2_999}])
def test_of_many_some_lie_evenly(
    run: WrittenRun, tensor: int, most: int, between: dict[str, int]
) -> None:
    first, last = between.get("first_step", 0), between.get("last_step", 3_990)
    stored = [one for one in every(tensor) if first <= one <= last]
    found = carried(run, tensor, most, **between)
    assert found.is_whole == (len(stored) <= most)
    assert set(found.steps.tolist()) <= set(stored)
    assert found.steps[[0, -1]].tolist() == [stored[0], stored[-1]]
    assert min(len(stored), most // 4) <= len(found.steps) <= most + 1
    assert np.diff(found.steps).max() <= 4 * (stored[-1] - stored[0]) / most + 20


def test_a_longer_run_keeps_them(run: WrittenRun) -> None:
    shorter = carried(run, 0, 100, last_step=3_500)
    longer = carried(run, 0, 100)
    assert set(shorter.steps[:-1].tolist()) <= set(longer.steps.tolist())


def test_what_is_not_there_has_none(run: WrittenRun) -> None:
    with run.database.read() as session:
        course = timeline(session, run.id)
        found = carried_steps(session, "spectra", run.tensors[0], course, most=3)
    assert found.is_whole
    assert not found.steps.size


def test_the_nearest_is_of_any_attempt_and_of_two_the_earlier(run: WrittenRun) -> None:
    with run.database.read() as session:
        first, second = (session.get_one(Tensor, one) for one in run.tensors[:2])
        asked = [(first, 0), (first, 2_744), (first, 9_000), (second, 2_730), (second, 25)]
        found = [nearest_carried(session, "statistics", *one) for one in asked]
        assert found == [20, 2_740, 10_000, 2_720, 20]
        assert nearest_carried(session, "spectra", first, 100) is None
