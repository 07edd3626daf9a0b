"""A database that is exhausted or hangs is answered 503 soon; then all goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import text

from bifurk.wire import content_digest, encode
from bifurk_service.errors import StorageError
from bifurk_service.store.engine import Database
from bifurk_service.store.limits import Limits
from tests.api.filling import Caller, broken_part
from tests.deploy.postgres import Postgres
from tests.parts import address, put_part
from tests.server import Server, wait_for

WAIT_SECONDS = 1.0
SOON_SECONDS = 30.0
"""A connection that is kept is asked, and a new one tried: twice the wait, on a busy machine."""
TRIES = 5


@pytest.fixture
def small(url: str) -> Iterator[Database]:
    database = Database(url, Limits(connections=2, wait_seconds=WAIT_SECONDS))
    yield database
    database.close()


def seconds_of(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def ask(database: Database, statement: str = "SELECT 1") -> None:
    with database.read() as session:
        session.execute(text(statement)).all()


def test_a_process_that_uses_all_its_connections_says_so(small: Database) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(small.read()).execute(text("SELECT 1"))
        with pytest.raises(StorageError, match="every connection"):
            ask(small)
    ask(small)


def test_a_statement_that_takes_too_long_is_ended(url: str) -> None:
    database = Database(url, Limits(connections=2, statement_seconds=0.5))
    with pytest.raises(StorageError, match="statement timeout"):
        ask(database, "SELECT pg_sleep(60)")
    ask(database)
    database.close()


def cut_off(database: Database, other: Database) -> None:
    """The server ends the connection that a process keeps."""
    with database.read() as session:
        number = session.scalar(text("SELECT pg_backend_pid()"))
    ask(other, f"SELECT pg_terminate_backend({number}, 5000)")


def test_a_connection_that_was_lost_is_missed_by_the_next_question_at_the_latest(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bifurk_service.store import patience

    database, other = Database(url), Database(url)
    monkeypatch.setattr(patience, "TRUSTED_SECONDS", 600.0)
    cut_off(database, other)
    with pytest.raises(StorageError, match="terminating connection"):
        ask(database)
    ask(database)

    monkeypatch.setattr(patience, "TRUSTED_SECONDS", -1.0)
    cut_off(database, other)
    ask(database)
    database.close()
    other.close()


def test_a_writer_that_stands_still_lets_the_others_by(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bifurk_service.store import engine

    monkeypatch.setattr(engine, "STANDSTILL_SECONDS", 0.2)
    stopped, other = Database(url), Database(url)
    went_by: list[int] = []

    def stand_still() -> None:
        with stopped.write() as session:
            monkeypatch.undo()
            with other.write() as following:
                went_by.extend(following.scalars(text("SELECT 1")))
            session.execute(text("SELECT 1"))

    with pytest.raises(StorageError, match="idle-in-transaction"):
        stand_still()
    assert went_by == [1]
    stopped.close()
    other.close()


def test_nobody_waits_for_ever_for_a_server_that_hangs(
    own: Postgres, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    url = own.bifurk("hanging")
    server = start_server(
        tmp_path / "data",
        BIFURK_DATABASE_URL=url,
        BIFURK_DATABASE_WAIT_SECONDS=str(WAIT_SECONDS),
        BIFURK_DATABASE_STATEMENT_SECONDS="1",
        BIFURK_LEASE_SECONDS="2",
        BIFURK_MEASURE_WORKERS="1",
    )
    caller = Caller(server)
    wait_for(lambda: put_part(server, broken_part(0))[0] == 201, "the first part")
    run = caller.run_id("tests", "run")
    caller.wait_until_judged(run, 1)

    with own.paused():
        begun = time.monotonic()
        answers = answered(server, count=6)
        assert time.monotonic() - begun < SOON_SECONDS
        assert {status for status, _ in answers} == {503}
        assert all(retry for _, retry in answers)
        health = [seconds_of(lambda: server.get("/healthz")) for _ in range(TRIES)]
        assert min(health) < WAIT_SECONDS, "who asks no database waits for none"
    wait_for(lambda: put_part(server, broken_part(1))[0] == 201, "the part that was refused")
    caller.wait_until_judged(run, 2)
    database = Database(url)
    wait_for(lambda: len(lasting(database)) == 1, "it to be there again, and to lead")
    database.close()


def lasting(database: Database) -> list[str]:
    """Names of the pipelines that are there."""
    query = "SELECT name FROM pipelines WHERE until > extract(epoch FROM clock_timestamp())"
    with database.read() as session:
        return list(session.scalars(text(query)))


def answered(server: Server, *, count: int) -> list[tuple[int, str | None]]:
    """Status and Retry-After of as many parts sent at once."""
    found: list[tuple[int, str | None]] = []

    def put(sequence: int) -> None:
        part = broken_part(sequence, run=f"run-{sequence}")
        answer = urllib3.request(
            "PUT",
            server.url + address(part.manifest),
            body=encode(part),
            headers={"Content-Encoding": "zstd", "Content-Digest": content_digest(encode(part))},
            retries=False,
            timeout=60,
        )
        found.append((answer.status, answer.headers.get("Retry-After")))

    threads = [threading.Thread(target=put, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
