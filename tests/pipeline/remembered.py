"""Memories of a small run's detectors, saved and taken up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sqlalchemy import select

from bifurk_service.detect import state_pieces
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.streams import clocks
from bifurk_service.pipeline import memories
from bifurk_service.pipeline.memories import MemoryKeeper, take_up
from bifurk_service.store.engine import Database
from bifurk_service.store.leases import Lease, register, take
from bifurk_service.store.models import DetectorPiece, DetectorState, Thinning
from bifurk_service.store.states import load_state
from tests.detect.runs import gpt, sound_run
from tests.written_run import WrittenRun

SNAPSHOTS = 12
TENSORS = gpt(2)
VALUES = sound_run(TENSORS, seed=4, length=SNAPSHOTS)
TIMES = clocks(SNAPSHOTS, every=2)


def judged(count: int, judge: Judge | None = None, *, start: int = 0) -> Judge:
    """A judge that has seen so many snapshots."""
    judge = judge or Judge("r")
    for index in range(start, count):
        row = {name: series[index] for name, series in VALUES.items()}
        judge.update(TIMES[index], TENSORS, row, {n: np.isfinite(v) for n, v in row.items()})
    return judge


def saved(database: Database, lease: Lease, judge: Judge, sequence: int) -> None:
    keeper = MemoryKeeper(database, lease)
    keeper.write_ahead(judge, sequence)
    with database.write() as session:
        keeper.save(session)
    keeper.tidy()


def taken_up(database: Database, attempt: int) -> tuple[int, bytes]:
    """The sequence of the saved memory, and what it is."""
    judge = Judge("r")
    with database.read() as session:
        memory = load_state(session, attempt)
        assert memory is not None
        take_up(session, judge, attempt, memory)
    return memory.sequence, judge.snapshot()


def places(database: Database) -> list[tuple[int, int]]:
    """Of all pieces that are stored."""
    with database.read() as session:
        rows = session.execute(select(DetectorPiece.sequence, DetectorPiece.number))
        return sorted((sequence, number) for sequence, number in rows)


def named(database: Database) -> list[tuple[int, int]]:
    """Of the pieces that some memory is made of."""
    with database.read() as session:
        found = [
            place
            for table in (DetectorState, Thinning)
            for pieces in session.scalars(select(table.pieces))
            for place in pieces or ()
        ]
    return sorted({(sequence, number) for sequence, number in found})


def an_attempt(database: Database) -> Lease:
    """Of a run that is there, and in the hands of this process."""
    attempt = WrittenRun(database).attempt
    with database.write() as session:
        [lease] = take(session, register(session, "here", capacity=1, seconds=None), [attempt])
    return lease


def make_small(set_to: Callable[[object, str, object], None]) -> None:
    """Many pieces, and few of them in a transaction."""
    set_to(state_pieces, "PIECE_BYTES", 60_000)
    set_to(memories, "BYTES_AT_ONCE", 5_000)
