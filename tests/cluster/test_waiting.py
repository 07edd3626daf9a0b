"""What is no snapshot's fault is no try of it, on whichever engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from bifurk_service.errors import StorageError
from bifurk_service.pipeline.workers import WorkersAwayError, WorkersLostError
from bifurk_service.store.models import Snapshot
from tests.parts import make_part
from tests.pipeline.house import House
from tests.pipeline.test_bad_days import Failing

MakeHouse = Callable[[], House]


def measured_after(house: House, errors: list[BaseException]) -> Snapshot:
    """The only snapshot, once its jobs have failed like this."""
    failing = Failing(errors)
    house.executor = lambda _count: failing
    house.receive(make_part(0))
    house.run_until("judged", "failed")
    with house.database.read() as session:
        return session.scalars(select(Snapshot)).one()


@pytest.mark.parametrize("error", [StorageError("away"), WorkersAwayError("away")])
def test_what_is_away_is_waited_for_however_often(
    make_house: MakeHouse, error: BaseException
) -> None:
    snapshot = measured_after(make_house(), [error] * 5)
    assert (snapshot.state, snapshot.tries) == ("judged", 0)


def test_many_workers_lost_at_the_first_try_make_a_suspect_and_no_failure(
    make_house: MakeHouse,
) -> None:
    snapshot = measured_after(make_house(), [WorkersLostError("killed", times=4)])
    assert (snapshot.state, snapshot.tries) == ("judged", 2)


def test_lost_again_alone_it_is_given_up(make_house: MakeHouse) -> None:
    lost = WorkersLostError("killed", times=4)
    assert measured_after(make_house(), [lost, lost]).state == "failed"
