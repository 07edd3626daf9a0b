"""A database that is lost in the middle of a commit, which it may go on with by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bifurk_service.errors import StorageError
from bifurk_service.store.engine import Session
from tests.faults.soak.evidence import blobs_astray
from tests.parts import make_part
from tests.pipeline.house import House
from tests.server import DEADLINE_SECONDS

STILL_COMMITTING_SECONDS = 0.3


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


def test_a_commit_that_goes_through_after_its_connection_was_lost_keeps_its_blob(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loses_the_next_commit(house, monkeypatch)
    with pytest.raises(StorageError):
        house.receive(make_part(0))
    assert house.receive(make_part(0)) is False, "it is there, the client hears when it asks again"
    assert blobs_astray(house.database, tmp_path / "blobs") == (set(), set())
    house.run_until("judged")


def loses_the_next_commit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next transaction is committed a while after whoever wrote it was told of its failure."""
    write = house.database.write

    @contextmanager
    def lost(**_: object) -> Iterator[Session]:
        monkeypatch.setattr(house.database, "write", write)
        sessions: list[Session] = []
        begun, over = threading.Event(), threading.Event()

        def elsewhere() -> None:
            with write() as session:
                sessions.append(session)
                begun.set()
                assert over.wait(DEADLINE_SECONDS)
                time.sleep(STILL_COMMITTING_SECONDS)

        threading.Thread(target=elsewhere).start()
        assert begun.wait(DEADLINE_SECONDS)
        yield sessions[0]
        over.set()
        raise StorageError("the connection was lost at the commit")

    monkeypatch.setattr(house.database, "write", lost)
