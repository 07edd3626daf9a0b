"""What an alert asks the client for, and the full values it keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from bifurk.exact import Exact
from bifurk.wire import Part
from bifurk_service.pipeline.stale_blobs import LOOK_SECONDS
from bifurk_service.store import directives
from bifurk_service.store.directives import INTERVALS, pinned_snapshots, wishes
from bifurk_service.store.models import Attempt, Snapshot, StoredAlert, StoredPart
from tests.parts import make_part
from tests.pipeline.house import House

BROKEN_AT = 5


def _broken(part: Part, name: str = "blocks.0.mlp.up.bias") -> Part:
    """The same part with one NaN: a critical alert at once."""
    tensors = []
    for tensor in part.tensors:
        if tensor.name == name:
            assert tensor.values is not None
            values = tensor.values.float64().astype(np.float32)
            values[0] = np.nan
            tensor = replace(tensor, values=Exact(dtype="float32", data=values))  # noqa: PLW2901
        tensors.append(tensor)
    return Part(manifest=part.manifest, tensors=tuple(tensors))


def _run(house: House, count: int, *, every: int = 10) -> None:
    for sequence in range(count):
        part = make_part(sequence, step=sequence * every, previous_step=None)
        house.receive(_broken(part) if sequence == BROKEN_AT else part)
        house.run_until("judged")


def _wishes(house: House) -> list[dict[str, object]]:
    with house.database.read() as session:
        return wishes(session, session.get_one(Attempt, 1))


def test_an_alert_asks_for_its_tensors_in_full_and_more_often(house: House) -> None:
    _run(house, BROKEN_AT + 1, every=100)
    assert _wishes(house) == [
        {
            "tensors": ["blocks.0.mlp.up.bias"],
            "every": 25,
            "first_step": 501,
            "last_step": 500 + 100 * INTERVALS + 1,
        }
    ]


def test_the_wish_ends_with_its_last_step(house: House) -> None:
    _run(house, BROKEN_AT + INTERVALS)
    assert len(_wishes(house)) == 1
    house.receive(make_part(BROKEN_AT + INTERVALS))
    house.run_until("judged")
    assert _wishes(house) == []


def test_nothing_is_asked_of_an_attempt_that_has_ended(house: House) -> None:
    house.receive(make_part(0))
    house.run_until("judged")
    house.finish()
    for sequence in range(1, BROKEN_AT):
        house.receive(make_part(sequence))
    house.receive(_broken(make_part(BROKEN_AT)))
    house.run_until("judged")
    assert _wishes(house) == []


def test_the_full_values_around_an_alert_stay(house: House) -> None:
    _run(house, BROKEN_AT + INTERVALS + 4)
    house.finish()
    house.clock.advance(LOOK_SECONDS)
    house.pipeline.advance()
    with house.database.read() as session:
        snapshots = list(session.scalars(select(Snapshot).order_by(Snapshot.sequence)))
        pinned = pinned_snapshots(session, [snapshot.id for snapshot in snapshots])
        stale = {part.snapshot_id for part in session.scalars(select(StoredPart)) if part.stale_key}
        keys = [part.stale_key for part in session.scalars(select(StoredPart)) if part.stale_key]
    sequences = {snapshot.sequence for snapshot in snapshots if snapshot.id in pinned}
    # The onset lies between the last sound snapshot, whose full values were still there for the
    # next one's motion, and the one that the alert was seen at.
    assert sequences == set(range(BROKEN_AT - 1, BROKEN_AT + INTERVALS + 1))
    assert {s.sequence for s in snapshots if s.id in stale} == sequences
    assert all(house.blobs.get(key) for key in keys if key is not None)


def test_a_run_asks_only_so_often(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directives, "MOST_A_RUN", 0)
    _run(house, BROKEN_AT + 1)
    assert _wishes(house) == []


def test_an_alert_that_becomes_graver_asks_anew(house: House) -> None:
    _run(house, BROKEN_AT + 2)
    with house.database.write() as session:
        alert = session.scalars(select(StoredAlert)).one()
        newest = session.scalars(select(Snapshot).order_by(Snapshot.id.desc())).first()
        assert newest is not None
        directives.ask_for_more(session, alert, newest, now=0.0)
    [wish] = _wishes(house)
    assert wish["first_step"] == 10 * BROKEN_AT + 1
    assert wish["last_step"] == 10 * (BROKEN_AT + 1) + 10 * INTERVALS + 1
