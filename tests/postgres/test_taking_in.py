"""Parts taken in by several at once are all there, each once; ids and events have no gaps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from bifurk_service.store.engine import Database
from bifurk_service.store.models import Event, Run, StoredPart
from tests.parts import make_part
from tests.pipeline.house import House

RUNS = 3
SNAPSHOTS = 4


def send(house: House, runs: Sequence[int]) -> None:
    for sequence in range(SNAPSHOTS):
        for run in runs:
            house.receive(make_part(sequence, run=f"run-{run}"))


def test_two_take_in_the_same_runs_at_once(url: str, tmp_path: Path) -> None:
    houses = [House(tmp_path, Database(url)), House(tmp_path, Database(url))]
    orders = (list(range(RUNS)), list(reversed(range(RUNS))))
    threads = [
        threading.Thread(target=send, args=(house, order))
        for house, order in zip(houses, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with houses[0].database.read() as session:
        parts = session.scalars(select(StoredPart.blob_key)).all()
        assert session.scalars(select(Run.id).order_by(Run.id)).all() == [1, 2, 3]
        assert session.scalars(select(Event.id).order_by(Event.id)).all() == [1, 2, 3]
    assert len(parts) == RUNS * SNAPSHOTS
    assert sorted(houses[0].blobs.older_than(-1.0)) == sorted(parts), "what came twice is deleted"
    for house in houses:
        house.pipeline.stop()
        house.database.close()
