"""The detectors' memory in the database: whole whatever happens, and written where it changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, func, select, update

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.notify.rules import Policy
from bifurk_service.pipeline.judging import AttemptJudge
from bifurk_service.pipeline.memories import MemoryKeeper, take_up
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease, LeaseLostError
from bifurk_service.store.models import AttemptLease, DetectorPiece, DetectorState
from bifurk_service.store.state_pieces import forget_unnamed
from bifurk_service.store.states import SavedState, save_state
from bifurk_service.store.thinning_blocks import Block, begin_block, memory_behind
from tests.database import fresh_database
from tests.pipeline.remembered import (
    TENSORS,
    TIMES,
    VALUES,
    an_attempt,
    judged,
    make_small,
    named,
    places,
    saved,
    taken_up,
)


def begin_thinning(database: Database, attempt: int) -> None:
    with database.write() as session:
        assert begin_block(session, Block(attempt_id=attempt, stage=1, start=0))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def lease(database: Database) -> Lease:
    return an_attempt(database)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch.setattr)


@pytest.mark.usefixtures("small")
def test_only_what_changed_is_written(database: Database, lease: Lease) -> None:
    judge = judged(8)
    saved(database, lease, judge, 7)
    first = places(database)
    assert first == [(7, number) for number in range(len(first))]
    some = np.arange(len(TENSORS)) < 10
    judge.update(TIMES[8], TENSORS, {"std": VALUES["std"][8]}, {"std": some})
    saved(database, lease, judge, 8)
    assert places(database) == named(database)
    written = [place for place in places(database) if place[0] == 8]
    assert 0 < len(written) < len(first) / 2
    assert taken_up(database, lease.attempt_id) == (8, judge.snapshot())


@pytest.mark.usefixtures("small")
def test_a_memory_that_was_not_finished_leaves_the_one_before(
    database: Database, lease: Lease
) -> None:
    judge = judged(6)
    saved(database, lease, judge, 5)
    before = taken_up(database, lease.attempt_id)
    later = judged(9, judge, start=6)
    MemoryKeeper(database, lease).write_ahead(later, 8)
    assert len(places(database)) > len(named(database)), "some were written ahead"
    assert taken_up(database, lease.attempt_id) == before
    with database.write() as session:
        assert not forget_unnamed(session, lease.attempt_id), "what is being written stays"
    assert len(places(database)) > len(named(database))
    saved(database, lease, later, 8)
    assert places(database) == named(database)
    assert taken_up(database, lease.attempt_id) == (8, later.snapshot())


class Gone(RuntimeError):
    """The process is."""


@pytest.mark.usefixtures("small")
def test_behind_every_transaction_the_memory_is_whole(
    database: Database, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judged(6)
    saved(database, lease, judge, 5)
    old = judge.snapshot()
    later = judged(9, judge, start=6)
    committed, left, write = 0, 0, database.write

    @contextmanager
    def ends(*, in_line: bool = True) -> Iterator[Session]:
        nonlocal committed
        with write(in_line=in_line) as session:
            yield session
        committed += 1
        if committed == left:
            raise Gone

    found = []
    while not found or found[-1] != (8, later.snapshot()):
        committed, left = 0, left + 1
        with monkeypatch.context() as patched:
            patched.setattr(database, "write", ends)
            with suppress(Gone):
                saved(database, lease, later, 8)
        found.append(taken_up(database, lease.attempt_id))
    assert found == [(5, old)] * (left - 1) + [(8, later.snapshot())]
    assert left > 5


@pytest.mark.usefixtures("small")
def test_what_a_thinned_past_begins_with_stays_until_it_is_thinned_again(
    database: Database, lease: Lease
) -> None:
    attempt, judge = lease.attempt_id, judged(4)
    saved(database, lease, judge, 3)
    then = taken_up(database, attempt)
    begin_thinning(database, attempt)
    saved(database, lease, judged(9, judge, start=4), 8)
    with database.read() as session:
        behind, memory = Judge("r"), memory_behind(session, attempt)
        assert memory is not None
        take_up(session, behind, attempt, memory)
    assert (memory.sequence, behind.snapshot()) == then
    count = len(places(database))
    begin_thinning(database, attempt)
    assert places(database) == named(database)
    assert len(places(database)) < count


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_damaged_memory_is_begun_afresh_once(
    database: Database, lease: Lease, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved(database, lease, judged(6), 5)
    with database.write() as session:
        one = DetectorPiece.number == 3
        if damage == "missing":
            session.execute(delete(DetectorPiece).where(one))
        else:
            session.execute(update(DetectorPiece).where(one).values(data=b"x" * 100))
    with pytest.raises(ForeignStateError, match=f"piece 3 .* as of sequence 5 is {damage}"):
        taken_up(database, lease.attempt_id)
    caplog.set_level(logging.WARNING)
    judge = AttemptJudge(database, lease, Policy())
    told = f"detectors begin afresh: piece 3 of the memory as of sequence 5 is {damage}"
    assert told in caplog.text
    judge.put_away()
    saved(database, lease, judged(8), 7)
    caplog.clear()
    AttemptJudge(database, lease, Policy())
    assert not caplog.text
    assert places(database) == named(database)


def test_a_memory_of_an_earlier_version_is_taken_up_and_then_written_in_pieces(
    database: Database, lease: Lease
) -> None:
    judge = judged(6)
    whole = SavedState(definition=judge.definition, sequence=5, whole=judge.snapshot())
    with database.write() as session:
        save_state(session, lease.attempt_id, whole)
    assert taken_up(database, lease.attempt_id) == (5, judge.snapshot())
    saved(database, lease, judged(7, judge, start=6), 6)
    assert taken_up(database, lease.attempt_id) == (6, judge.snapshot())
    with database.read() as session:
        assert session.scalar(select(func.length(DetectorState.state))) == 0


@pytest.mark.usefixtures("small")
def test_who_has_lost_the_attempt_writes_nothing_ahead(database: Database, lease: Lease) -> None:
    with database.write() as session:
        session.execute(update(AttemptLease).values(fence=2))
    with pytest.raises(LeaseLostError):
        MemoryKeeper(database, lease).write_ahead(judged(3), 2)
    assert places(database) == []
