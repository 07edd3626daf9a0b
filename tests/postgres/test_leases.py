"""Several pipelines on one PostgreSQL: each attempt is one's, and what comes of it is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from bifurk_service.pipeline.jobs import SpectraSchedule
from bifurk_service.pipeline.leases import PATIENCE_SECONDS
from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    AttemptLease,
    DetectorPiece,
    DetectorState,
    RunningPipeline,
    Snapshot,
    StoredAlert,
    StoredPart,
    Tensor,
)
from bifurk_service.store.reasons import statistics_told
from tests.api.filling import BROKEN_AT, broken_part
from tests.pipeline.house import AtOnce, Held, House

ATTEMPTS = ("a", "b", "c")
SNAPSHOTS = BROKEN_AT + 1
LEASE_SECONDS = 3600.0
"""By the clock of the database, which no test moves: however slow a machine is, none runs out."""


@pytest.fixture
def join(url: str, tmp_path: Path) -> Iterator[Callable[[], House]]:
    """Makes one more process of the same database and blobs, without its threads."""
    houses: list[House] = []

    def joined() -> House:
        houses.append(simple(House(tmp_path, Database(url))))
        return houses[-1]

    yield joined
    for house in houses:
        house.pipeline.stop()
        house.database.close()


def simple(house: House) -> House:
    """Measures where it hands out, and of spectra as few as may be."""
    house.lease_seconds = LEASE_SECONDS
    house.executor = lambda _: AtOnce()
    house.spectra = SpectraSchedule(budget_seconds=0.0, vectors_every=1_000)
    house.pipeline = house.new_pipeline()
    return house


def silence(house: House) -> None:
    """Lets the time run out within which a process has to say that it is there."""
    with house.database.write() as session:
        session.execute(
            text("UPDATE pipelines SET until = 0 WHERE id = :id"), {"id": house.presence.number()}
        )


def holders(database: Database) -> dict[str, int | None]:
    """Which process holds which attempt."""
    with database.read() as session:
        rows = session.execute(
            select(Attempt.slug, AttemptLease.holder).join(
                AttemptLease, AttemptLease.attempt_id == Attempt.id
            )
        )
        return dict(rows.all())


def outcome(database: Database) -> dict[str, Any]:
    """All that measuring and judging leave, but for times and ids."""
    with database.read() as session:
        stats = session.execute(
            statistics_told()
            .add_columns(Attempt.slug, Tensor.name)
            .join(Attempt, Attempt.id == TENSOR_STATS.c.attempt_id)
            .join(Tensor, Tensor.id == TENSOR_STATS.c.tensor_id)
            .order_by(Attempt.slug, Tensor.name, TENSOR_STATS.c.step)
        )
        alerts = session.execute(
            select(
                Attempt.slug,
                StoredAlert.fingerprint,
                StoredAlert.sentence,
                StoredAlert.detected_step,
                StoredAlert.severity,
            )
            .join(Attempt, Attempt.id == StoredAlert.attempt_id)
            .order_by(Attempt.slug, StoredAlert.fingerprint)
        )
        cursors = session.execute(select(Attempt.slug, Attempt.cursor).order_by(Attempt.slug))
        return {
            "statistics": [repr(row[2:]) for row in stats],
            "alerts": [tuple(row) for row in alerts],
            "cursors": dict(cursors.all()),
            "states": sorted(session.scalars(select(Snapshot.state))),
        }


def send(house: House, attempts: tuple[str, ...], sequences: range) -> None:
    for sequence in sequences:
        for attempt in attempts:
            house.receive(broken_part(sequence, run=f"run-{attempt}", attempt=attempt))


def turns(*houses: House, rounds: int = 60) -> None:
    """Rounds of each in turn until nothing waits."""
    for _ in range(rounds):
        for house in houses:
            house.pipeline.advance()
            house.clock.advance(0.5)
        if set(houses[0].states()) == {"judged"}:
            return
    raise AssertionError(f"still {houses[0].states()}")


def test_two_share_the_attempts_and_find_what_one_finds(
    join: Callable[[], House], tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = simple(House(tmp_path_factory.mktemp("alone")))
    send(alone, ATTEMPTS, range(SNAPSHOTS))
    turns(alone)
    expected = outcome(alone.database)
    alone.pipeline.stop()
    assert len(expected["alerts"]) >= len(ATTEMPTS)

    first, second = join(), join()
    first.pipeline.advance()
    second.pipeline.advance()
    send(first, ATTEMPTS, range(SNAPSHOTS))
    first.pipeline.advance()
    second.pipeline.advance()
    held = holders(first.database)
    numbers = [first.presence.number(), second.presence.number()]
    assert sorted(map(list(held.values()).count, numbers)) == [1, 2]
    turns(first, second)
    assert outcome(first.database) == expected


def test_a_newcomer_gets_its_share_of_what_waits(join: Callable[[], House]) -> None:
    first = join()
    held = Held()
    first.executor = lambda _: held
    send(first, ATTEMPTS, range(1))
    first.pipeline.advance()
    assert set(holders(first.database).values()) == {first.presence.number()}

    second = join()
    second.pipeline.advance()
    assert second.presence.number() not in holders(first.database).values()
    first.pipeline.advance()
    first.clock.advance(PATIENCE_SECONDS)
    first.pipeline.advance()
    second.pipeline.advance()
    assert second.presence.number() in holders(first.database).values()
    held.finish()
    turns(first, second)


def test_who_was_stopped_finds_the_attempt_taken_and_writes_nothing(
    join: Callable[[], House],
) -> None:
    first = join()
    slow = Held()
    first.executor = lambda _: slow
    send(first, ("a",), range(2))
    first.pipeline.advance()
    assert slow.jobs, "it is measuring"

    silence(first)
    second = join()
    turns(second)
    expected, rows = outcome(second.database), everything(second.database)
    assert set(holders(second.database).values()) == {second.presence.number()}

    slow.finish()
    first.pipeline.advance()
    first.pipeline.stop()
    assert outcome(second.database) == expected
    assert everything(second.database) == rows
    assert blob_names(second) == kept_blobs(second.database)


def test_a_judge_whose_attempt_was_taken_saves_nothing(join: Callable[[], House]) -> None:
    first = join()
    send(first, ("a",), range(2))
    turns(first)
    silence(first)
    second = join()
    send(second, ("a",), range(2, 4))
    turns(second)
    with second.database.read() as session:
        [(sequence, pieces)] = session.execute(
            select(DetectorState.sequence, DetectorState.pieces)
        ).all()
    first.pipeline.stop()
    with second.database.read() as session:
        assert session.execute(select(DetectorState.sequence, DetectorState.pieces)).all() == [
            (sequence, pieces)
        ]
        assert len(pieces) == session.scalar(select(func.count()).select_from(DetectorPiece))
    assert outcome(second.database)["cursors"] == {"a": 3}


def test_the_first_leads_until_it_is_gone(join: Callable[[], House]) -> None:
    first, second = join(), join()
    for house in (first, second):
        house.presence.give_sign()
    assert (first.presence.leads(), second.presence.leads()) == (True, False)

    silence(first)
    second.presence.give_sign()
    assert second.presence.leads()
    first.presence.give_sign()
    assert not first.presence.leads(), "it comes back behind the others"

    second.pipeline.stop()
    second.presence.stop()
    first.presence.give_sign()
    assert (first.presence.leads(), second.presence.leads()) == (True, False)
    with first.database.read() as session:
        assert session.scalars(select(RunningPipeline.name)).all() == [first.presence.name]


def test_who_says_nothing_stops_leading_by_its_own_clock(join: Callable[[], House]) -> None:
    house = join()
    house.presence.give_sign()
    house.clock.advance(LEASE_SECONDS - 0.1)
    assert house.presence.leads()
    house.clock.advance(0.2)
    assert not house.presence.leads()


def everything(database: Database) -> list[str]:
    """What a pipeline that has lost its attempts must leave as it is."""
    with database.read() as session:
        return [
            repr(session.execute(select(table).order_by(*table.primary_key)).all())
            for table in (
                Snapshot.__table__,
                StoredPart.__table__,
                DetectorState.__table__,
                DetectorPiece.__table__,
                TENSOR_STATS,
            )
        ]


def blob_names(house: House) -> list[str]:
    return sorted(house.blobs.older_than(-1.0))


def kept_blobs(database: Database) -> list[str]:
    with database.read() as session:
        parts = session.execute(select(StoredPart.blob_key, StoredPart.stale_key))
        return sorted(key for row in parts for key in row if key)
