"""What was said after the last snapshot is kept with the end of the attempt, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bifurk.wire import AttemptReport, Mark, ScalarSummary
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Snapshot, StoredMark
from bifurk_service.store.receipts import BlobReceipt, receive_part
from bifurk_service.store.runs import apply_attempt_report
from bifurk_service.store.scalars import scalar_points
from tests.database import fresh_database
from tests.parts import make_part

LOSS = ScalarSummary(last=1.0, mean=2.0, min=1.0, max=3.0, count=2)
LATER = ScalarSummary(last=5.0, mean=5.0, min=5.0, max=5.0, count=1)
MARK = Mark(kind="checkpoint", step=10, details={"path": "final.pt"})


@pytest.fixture
def unended(tmp_path: Path) -> Iterator[Database]:
    """One snapshot is there, another is on its way."""
    database = fresh_database(tmp_path)
    receive(database, 0)
    yield database
    database.close()


@pytest.fixture
def database(unended: Database) -> Database:
    receive(unended, 1)
    return unended


def receive(database: Database, sequence: int) -> None:
    blob = BlobReceipt(key="k", digest=str(sequence), encoding="zstd", size_bytes=1)
    with database.write() as session:
        receive_part(session, make_part(sequence, scalars={"loss": LOSS}), blob, now=1.0)


def end(database: Database, *, state: str = "finished") -> None:
    report = AttemptReport(
        state=state, last_sequence=1, last_step=10, marks=(MARK,), scalars={"loss": LATER}
    )
    with database.write() as session:
        attempt = session.scalars(select(Attempt)).one()
        apply_attempt_report(session, attempt, report, now=2.0)


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_the_last_mark_belongs_to_the_last_snapshot(database: Database, state: str) -> None:
    end(database, state=state)
    with database.read() as session:
        [mark] = session.scalars(select(StoredMark))
        snapshot = session.get_one(Snapshot, mark.snapshot_id)
    assert (mark.kind, mark.step, mark.details) == ("checkpoint", 10, {"path": "final.pt"})
    assert snapshot.sequence == 1


@pytest.mark.parametrize("overtaken", [False, True])
def test_the_last_scalars_are_added_to_those_of_the_last_step(
    unended: Database, overtaken: bool
) -> None:
    """However late the last snapshot comes, what was said after it is the last."""
    if overtaken:
        end(unended)
        receive(unended, 1)
    else:
        receive(unended, 1)
        end(unended)
    database = unended
    with database.read() as session:
        first, last = scalar_points(session, 1, "loss")
    assert (first.mean, first.count) == (2.0, 2)
    assert (last.step, last.last, last.mean, last.min, last.max) == (10, 5.0, 3.0, 1.0, 5.0)


def test_an_end_told_twice_is_kept_once(database: Database) -> None:
    end(database)
    end(database)
    with database.read() as session:
        assert len(list(session.scalars(select(StoredMark)))) == 1
        assert scalar_points(session, 1, "loss")[-1].count == 3
