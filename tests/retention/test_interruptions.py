"""What is killed on its way is taken up, and comes to the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.leases import Lease
from bifurk_service.store.thinning_blocks import begin_block, next_block
from tests.database import fresh_database
from tests.pipeline.remembered import (
    an_attempt,
    judged,
    make_small,
    named,
    places,
    saved,
    taken_up,
)
from tests.retention.conftest import Past
from tests.retention.interrupted import DiesAfter, killed
from tests.retention.long_past import everything


def thin_and_die(url: str, blobs: str, transactions: int) -> None:
    """Thins all that may be, and is killed on the way."""
    Thinner(DiesAfter(url, transactions), open_blobs(blobs), keep_bytes=1).run(most_seconds=1e9)


@pytest.fixture
def other(past: Past, tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    """The same past once more."""
    folder = tmp_path / "other"
    shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("other"))
    database = Database(f"sqlite:///{folder / 'test.db'}")
    yield database, folder / "blobs"
    database.close()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*.part"))


def test_thinning_that_is_killed_comes_to_the_same(
    past: Past, other: tuple[Database, Path], tmp_path: Path
) -> None:
    past.run.thin(past.blobs)
    database, blobs = other
    for transactions in (3, 5, 1):
        assert killed(thin_and_die, database.url, str(blobs), transactions)
    Thinner(database, open_blobs(str(blobs)), keep_bytes=1).run(most_seconds=1e9)
    assert everything(database) == everything(past.database)
    assert names(blobs) == names(tmp_path / "blobs")


class Stumbled(RuntimeError):
    """The process is gone."""


def test_thinning_stopped_behind_every_transaction_comes_to_the_same(
    past: Past, other: tuple[Database, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run.thin(past.blobs)
    database, blobs = other
    write = database.write

    @contextmanager
    def once() -> Iterator[Session]:
        with write() as session:
            yield session
        raise Stumbled

    # Each try gets one transaction further; the first of a block is repeated by every one.
    left = 1
    stumbles = 0
    while True:
        allowed = iter([write] * left + [once])
        monkeypatch.setattr(database, "write", lambda allowed=allowed: next(allowed)())
        try:
            if Thinner(database, open_blobs(str(blobs)), keep_bytes=1).run(most_seconds=0) == 0:
                break
        except Stumbled:
            stumbles, left = stumbles + 1, left + 1
        else:
            left = 0
    assert stumbles > 20
    monkeypatch.undo()
    assert everything(database) == everything(past.database)


def test_a_block_that_another_process_has_done_meanwhile_is_not_begun_again(past: Past) -> None:
    with past.database.read() as session:
        block = next_block(session, past.run.id)
    assert block is not None
    past.run.thin(past.blobs)
    before = everything(past.database)
    with past.database.write() as session:
        assert not begin_block(session, block)
    assert everything(past.database) == before
    assert past.run.thin(past.blobs) == 0


def save_and_die(url: str, lease: Lease, transactions: int) -> None:
    """Saves a memory, and is killed on the way."""
    make_small(setattr)
    saved(DiesAfter(url, transactions), lease, judged(9), 8)


def test_whoever_is_killed_on_the_way_leaves_a_whole_memory(
    tmp_path: Path,
) -> None:
    database = fresh_database(tmp_path)
    lease = an_attempt(database)
    judge = judged(6)
    saved(database, lease, judge, 5)
    assert killed(save_and_die, database.url, lease, 4)
    assert len(places(database)) > len(named(database)), "some were written"
    assert taken_up(database, lease.attempt_id) == (5, judge.snapshot())
    later = judged(9, judge, start=6)
    saved(database, lease, later, 8)
    assert taken_up(database, lease.attempt_id) == (8, later.snapshot())
    assert places(database) == named(database)
    database.close()
