"""A run taken to another database and back is the same run, and goes on as if it had stayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bifurk_service.archives.bringing import Brought, bring_run
from bifurk_service.pipeline.removing import remove_due
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.replay.evidence import evidence_of, verify
from bifurk_service.store.audit import THE_SERVICE
from bifurk_service.store.blobs import BlobStore, open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.removal import hide_run
from bifurk_service.store.series import find_tensors, statistic_series
from bifurk_service.store.thinning_blocks import LAST_WHOLE
from tests.api.filling import SNAPSHOTS, broken_part
from tests.database import fresh_database
from tests.deploy.postgres import Postgres
from tests.pipeline.house import House
from tests.retention.compared import contents, write
from tests.retention.long_past import LongPast, everything
from tests.store.summed import check_sums


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A run with alerts, marks, scalars and full values, whose last snapshot still waits."""
    house = House(tmp_path_factory.mktemp("house"))
    house.receive(broken_part(0, project="other", run="before"))
    for sequence in range(SNAPSHOTS):
        house.receive(broken_part(sequence))
    house.run_until("judged")
    house.pipeline.stop()
    house.pipeline = house.new_pipeline()
    house.receive(broken_part(SNAPSHOTS))
    yield house
    house.database.close()


RUN = 2


def bring(database: Database, blobs: BlobStore, path: Path, **names: str) -> Brought:
    wanted = {"run": None, "project": None, **names}
    return bring_run(database, blobs, path, by=THE_SERVICE, **wanted)


def test_to_postgres_and_back(house: House, cluster: Postgres, tmp_path: Path) -> None:
    first = write(house.database, house.blobs, RUN, tmp_path / "first.bifurk")
    database = Database(cluster.bifurk("moved"))
    blobs = open_blobs(str(tmp_path / "there"))
    there = bring(database, blobs, first)
    check_sums(database)
    second = write(database, blobs, there.run_id, tmp_path / "second.bifurk")
    database.close()
    back = House(tmp_path)
    here = bring(back.database, back.blobs, second)
    check_sums(back.database)
    third = write(back.database, back.blobs, here.run_id, tmp_path / "third.bifurk")
    before = contents(first)
    assert {name for name, rows in before.items() if not rows} == {
        "run_tags", "pins", "imported_statistics", "imported_values", "extremes",
        "kept_extremes", "thinnings",
    }  # fmt: skip
    assert contents(second) == before
    assert contents(third) == before
    check_it_goes_on(house, back, here.run_id)


def check_it_goes_on(house: House, back: House, run_id: int) -> None:
    """What waited is judged, what comes is, and it comes to the same as where the run stayed."""
    for one in (house, back):
        for sequence in range(SNAPSHOTS + 1, SNAPSHOTS + 4):
            one.receive(broken_part(sequence))
        one.run_until("judged")
        one.pipeline.stop()
    told = [told_of(house, RUN), told_of(back, run_id)]
    assert told[0] == told[1]
    assert len(told[0][0]) > 0
    with back.database.read() as session:
        alert = session.scalars(select(StoredAlert.id).where(StoredAlert.run_id == run_id)).first()
    assert alert is not None
    assert verify(evidence_of(back.database, alert)) == []


def told_of(house: House, run_id: int) -> tuple[list[tuple[object, ...]], list[list[float]]]:
    with house.database.read() as session:
        alerts = session.scalars(
            select(StoredAlert).where(StoredAlert.run_id == run_id).order_by(StoredAlert.id)
        )
        told = [(one.fingerprint, one.sentence, one.state, one.detected_step) for one in alerts]
        ids = [tensor.id for tensor in find_tensors(session, run_id)]
        series = statistic_series(session, run_id, "std", ids)
        return told, [one.values.tolist() for one in series]


def test_a_past_is_thinned_on_postgres_as_on_sqlite(cluster: Postgres, tmp_path: Path) -> None:
    database, blobs = fresh_database(tmp_path), open_blobs(str(tmp_path / "blobs"))
    run = LongPast(database, tmp_path / "blobs", snapshots=LAST_WHOLE + 128)
    whole = write(database, blobs, run.id, tmp_path / "whole.bifurk")
    there, there_blobs = Database(cluster.bifurk("thinned")), open_blobs(str(tmp_path / "there"))
    run_id = bring(there, there_blobs, whole).run_id
    for one, own_blobs in ((database, blobs), (there, there_blobs)):
        Thinner(one, own_blobs, keep_bytes=1).run(most_seconds=1e9)
        check_sums(one)
    here = contents(write(database, blobs, run.id, tmp_path / "here.bifurk"))
    assert len(here["tensor_stats"]) < len(contents(whole)["tensor_stats"]) / 1.5
    moved = contents(write(there, there_blobs, run_id, tmp_path / "moved.bifurk"))
    assert moved == here
    with there.write() as session:
        hide_run(session, run_id)
    remove_due(there, there_blobs, now=0.0, most_seconds=1e9)
    assert {name for name, rows in everything(there).items() if rows} == {"projects", "audit"}
    there.close()
    database.close()
