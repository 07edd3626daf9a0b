"""Why statistics have no value is stored once a run, and told with every row as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifurk_service.store.models import Reasons
from bifurk_service.store.reasons import reasons_ids
from bifurk_service.store.runs import ensure_run
from tests.database import fresh_database
from tests.pipeline.house import House
from tests.store.reasoned import (
    check_it_goes_down_and_up,
    check_they_go_with_their_run,
    count,
    measured_house,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = measured_house(tmp_path)
    yield house
    house.database.close()


def test_what_an_earlier_version_wrote_is_told_alike_before_and_after_it_is_moved(
    house: House,
) -> None:
    check_it_goes_down_and_up(house)
    check_they_go_with_their_run(house)


def test_rows_of_the_same_reasons_share_them_within_their_run(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    some = [{"std": "empty"}, {}, {"std": "empty"}, None, {"std": "zero"}]
    with database.write() as session:
        first, other = (ensure_run(session, project="p", run=run, now=0.0).id for run in "ab")
        found = reasons_ids(session, first, some)
        assert found[0] == found[2] != found[4]
        assert [one is None for one in found] == [False, True, False, True, False]
        assert reasons_ids(session, first, some[::-1]) == found[::-1]
        assert not {*reasons_ids(session, other, some)} & {*found} - {None}
    assert count(database, Reasons) == 4
    database.close()


def test_any_number_of_them_is_found_again(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    many = [{"std": f"{came} of 2000 elements came"} for came in range(1_200)]
    with database.write() as session:
        run_id = ensure_run(session, project="p", run="r", now=0.0).id
        found = reasons_ids(session, run_id, many)
        assert len(set(found)) == len(many)
        assert reasons_ids(session, run_id, many) == found
    database.close()
