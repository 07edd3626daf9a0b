"""What waits in each queue, since when, and that looking does not read what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from bifurk_service.metrics.unhurried import Unhurried
from bifurk_service.store.backlog import (
    Kept,
    Queue,
    among,
    connections,
    kept,
    snapshots_to_condense,
    waiting_by_state,
    waiting_messages,
)
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Snapshot, StoredPart
from bifurk_service.store.runs import ensure_attempt
from tests.database import fresh_database
from tests.pipeline.outbox import Outbox

STATES = ["judged"] * 100 + ["failed", "late", "measured", "received", "received"]
BYTES = 10


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An attempt with a snapshot of each of ``STATES``, received at 0, 1, 2, ..."""
    database = fresh_database(tmp_path)
    with database.write() as session:
        attempt = ensure_attempt(session, project="p", run="r", attempt="a", now=0.0)
        for sequence, state in enumerate(STATES):
            session.add(_snapshot(attempt, sequence, state))
            session.flush()
            session.add(_part(sequence + 1, stale=sequence % 21 == 0))
    yield database
    database.close()


def _snapshot(attempt: Attempt, sequence: int, state: str) -> Snapshot:
    return Snapshot(
        attempt_id=attempt.id, sequence=sequence, step=sequence, off_grid=False, state=state,
        tries=0, expected_parts=1, received_parts=1, coverage=1.0, wall_clock=0.0,
        received_at=float(sequence), learning_rates=[],
    )  # fmt: skip


def _part(snapshot_id: int, *, stale: bool) -> StoredPart:
    return StoredPart(
        snapshot_id=snapshot_id, rank=0, digest="", encoding="zstd", blob_bytes=BYTES,
        blob_key=f"{snapshot_id}", stale_key=f"{snapshot_id}.full" if stale else None,
    )  # fmt: skip


def test_snapshots_wait_to_be_measured_or_judged(database: Database) -> None:
    with database.read() as session:
        waiting = waiting_by_state(session)
    assert waiting == {
        "received": Queue(count=2, oldest_at=103.0),
        "measured": Queue(count=1, oldest_at=102.0),
    }
    assert among(waiting) == Queue(count=3, oldest_at=102.0)
    assert among(waiting).age_seconds(112.0) == 10.0
    assert among(waiting).age_seconds(0.0) == 0.0


def test_where_nothing_waits_every_queue_is_empty(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    with database.read() as session:
        assert waiting_by_state(session) == {"received": Queue(), "measured": Queue()}
        assert waiting_messages(session) == {}
        assert snapshots_to_condense(session) == 0
        assert kept(session) == Kept(blob_bytes=0, with_full_values=0)
    assert Queue().age_seconds(5.0) == 0.0
    database.close()


def test_messages_wait_by_channel(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    outbox = Outbox(database)
    alert = outbox.alert()
    outbox.put(alert, "ops", "team")
    with database.read() as session:
        waiting = waiting_messages(session)
    assert {name: queue.count for name, queue in waiting.items()} == {"ops": 1, "team": 1}
    assert all(queue.oldest_at is not None for queue in waiting.values())
    database.close()


def test_what_is_judged_and_not_condensed_waits_once_a_row_is_due(database: Database) -> None:
    with database.write() as session:
        attempt = session.get_one(Attempt, 1)
        attempt.cursor = 62
    with database.read() as session:
        assert snapshots_to_condense(session) == 0
    with database.write() as session:
        session.get_one(Attempt, 1).cursor = 99
    with database.read() as session:
        assert snapshots_to_condense(session) == 100


def test_what_is_kept(database: Database) -> None:
    with database.read() as session:
        found = kept(session)
    assert found == Kept(blob_bytes=BYTES * len(STATES), with_full_values=5)


@pytest.mark.parametrize("look", [waiting_by_state, waiting_messages, snapshots_to_condense])
def test_a_look_reads_nothing_that_is_done(database: Database, look: Callable[..., Any]) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.read() as session:
        look(session)
    event.remove(database.engine, "before_cursor_execute", note)
    [(statement, parameters)] = [one for one in asked if one[0].startswith("SELECT")]
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = " / ".join(row[-1] for row in plan)
    assert "SCAN snapshots" not in steps
    assert "SCAN deliveries" not in steps
    assert "SCAN parts" not in steps


def test_connections_are_counted_as_they_are_used(database: Database) -> None:
    before = connections(database)
    assert before.in_use == 0
    with database.read() as session:
        session.execute(text("SELECT 1"))
        assert connections(database).in_use == 1
    assert connections(database) == before
    assert before.limit is not None
    assert before.limit > 1


def test_a_long_reading_is_taken_again_after_a_hundred_times_as_long() -> None:
    now, taken = 0.0, 0
    reading: Unhurried[int] = Unhurried(monotonic=lambda: now)

    def read() -> int:
        nonlocal now, taken
        now += 2.0
        taken += 1
        return taken

    assert [reading.read(read), reading.read(read)] == [1, 1]
    now += 199.0
    assert reading.read(read) == 1
    now += 1.0
    assert reading.read(read) == 2


def test_a_reading_that_was_held_up_is_good_for_an_hour() -> None:
    now = 0.0
    reading: Unhurried[float] = Unhurried(monotonic=lambda: now)

    def read() -> float:
        nonlocal now
        now += 600.0
        return now

    assert reading.read(read) == 600.0
    now += 3_599.0
    assert reading.read(read) == 600.0
    now += 1.0
    assert reading.read(read) == 4_800.0
