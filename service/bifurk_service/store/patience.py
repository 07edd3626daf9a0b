"""Connections to PostgreSQL that wait for nothing for ever: not for the server, not for each other.

A server that is gone says so; one that hangs, or a network that swallows, says nothing. So each
connection keeps a time by its own clock, and closes itself when that has passed without an answer.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from bifurk_service.store.limits import Limits

Answer = TypeVar("Answer")

SHORTEST_CONNECT_SECONDS: Final = 2
"""libpq waits no less for a server to accept a connection."""
KEPT: Final = 5
"""Connections that stay open when nothing is asked."""
STANDSTILL_SECONDS: Final = 300
"""A reader whose process says nothing for so long has its transaction ended: a stopped process, or
an export whose reader has gone to sleep, must not keep the server from tidying up."""
STILL_THERE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A machine or a network that is gone is noticed within half a minute, whatever is waited for."""
TRUSTED_SECONDS: Final = 1.0
"""A connection over which something has come so lately is used without asking whether it answers;
what finds that it does not any more is answered 503, as is what was under way."""
HEARD_OF: Final = "heard of"
"""When a connection was given back, by this process's own clock."""
MARGIN_SECONDS: Final = 2.0
"""What the server is given beyond the longest statement to say that it has ended it."""


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself when an answer takes longer than ``patience_seconds``; None: it may."""

    patience_seconds: float | None = None

    def wait(self, gen: Generator[Any, Any, Answer], *args: Any, **more: Any) -> Answer:
        """See ``psycopg.Connection.wait``.

        Raises:
            psycopg.OperationalError: the server has not answered in time.
        """
        return super().wait(self._within(gen), *args, **more)

    def _within(self, gen: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
        patience = self.patience_seconds
        if patience is None:
            return (yield from gen)
        deadline = time.monotonic() + patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server has said nothing for {patience:g} s"
                    )
                wanted = gen.send(ready)
        except StopIteration as done:
            answer: Answer = done.value
            return answer


def patient_engine(url: str, limits: Limits, **options: Any) -> Engine:
    """An engine whose connections, and whose wait for them, are bounded by the limits."""
    kept = min(KEPT, limits.connections)
    engine = create_engine(
        url,
        pool_size=kept,
        max_overflow=limits.connections - kept,
        pool_timeout=limits.wait_seconds,
        connect_args={
            "connect_timeout": max(SHORTEST_CONNECT_SECONDS, round(limits.wait_seconds)),
            **STILL_THERE,
        },
        **options,
    )

    def connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> PatientConnection:
        connection = PatientConnection.connect(*arguments, **named)
        connection.patience_seconds = limits.wait_seconds
        return connection

    def configure(connection: PatientConnection, _record: ConnectionPoolEntry) -> None:
        longest = 0 if limits.statement_seconds is None else limits.statement_seconds
        connection.autocommit = True
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), "
            "set_config('idle_in_transaction_session_timeout', %s, false)",
            (f"{longest * 1000:.0f}ms", f"{STANDSTILL_SECONDS}s"),
        )
        connection.autocommit = False

    def taken(connection: PatientConnection, record: ConnectionPoolEntry, _: Any) -> None:
        heard_of = record.info.get(HEARD_OF)
        if heard_of is not None and time.monotonic() - heard_of > TRUSTED_SECONDS:
            _check_answers(connection)
        longest = limits.statement_seconds
        connection.patience_seconds = None if longest is None else longest + MARGIN_SECONDS

    def returned(connection: PatientConnection | None, record: ConnectionPoolEntry) -> None:
        if connection is not None:
            connection.patience_seconds = limits.wait_seconds
            record.info[HEARD_OF] = time.monotonic()

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", configure)
    event.listen(engine, "checkout", taken)
    event.listen(engine, "checkin", returned)
    return engine


def _check_answers(connection: PatientConnection) -> None:
    """Where a kept connection does not, it and all as old are let go of, and a new one is tried."""
    try:
        connection.autocommit = True
        connection.execute("SELECT 1")
        connection.autocommit = False
    except psycopg.Error as error:
        raise InvalidatePoolError from error
