"""An attempt is moved on whatever became of the transactions that took it or gave it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from bifurk_service.errors import StorageError
from bifurk_service.pipeline.leases import Leases
from bifurk_service.store.engine import Database, Session
from tests.parts import make_part
from tests.pipeline.house import House

ATTEMPT = 1


@pytest.fixture
def leases(house: House) -> Leases:
    """Those of a process that runs; something waits."""
    house.receive(make_part(0))
    return Leases(house.database, house.presence, monotonic=house.clock.now)


def test_an_attempt_that_could_not_be_given_back_is_still_ones_own(
    house: House, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leases.look() == [ATTEMPT]
    with monkeypatch.context() as broken:
        broken.setattr(house.database, "write", no_database)
        with pytest.raises(StorageError):
            leases.give_back([ATTEMPT])
    assert leases.look() == [ATTEMPT]


@pytest.mark.parametrize("of_nobody", [False, True])
def test_an_attempt_whose_taking_was_said_to_have_failed_is_ones_own(
    house: House, leases: Leases, monkeypatch: pytest.MonkeyPatch, of_nobody: bool
) -> None:
    leases.look()
    leases.give_back([ATTEMPT])
    with monkeypatch.context() as broken:
        broken.setattr(house.database, "write", committed_unsaid(house.database))
        with pytest.raises(StorageError):
            leases.take([ATTEMPT]) if of_nobody else leases.look()
    assert leases.look() == [ATTEMPT]
    assert leases.of(ATTEMPT).holder == house.presence.number()


def test_one_given_back_although_that_was_said_to_have_failed_is_taken_again(
    house: House, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases.look()
    before = leases.of(ATTEMPT)
    with monkeypatch.context() as broken:
        broken.setattr(house.database, "write", committed_unsaid(house.database))
        with pytest.raises(StorageError):
            leases.give_back([ATTEMPT])
    assert leases.look() == [ATTEMPT]
    assert leases.of(ATTEMPT).fence > before.fence


@contextmanager
def no_database(**_: object) -> Iterator[Session]:
    raise StorageError("gone")
    yield


def committed_unsaid(database: Database) -> Callable[..., AbstractContextManager[Session]]:
    """Transactions that go through, of which nobody hears."""
    write = database.write

    @contextmanager
    def lost(*, in_line: bool = True) -> Iterator[Session]:
        with write(in_line=in_line) as session:
            yield session
        raise StorageError("the connection was lost at the commit")

    return lost
