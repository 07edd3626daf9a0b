"""Whether any server takes in what trainings send: each holds a lock of PostgreSQL's meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bifurk_service.errors import StorageError
from bifurk_service.store.engine import Database
from bifurk_service.store.locks import LISTENING_LOCK

KEEPALIVE_SECONDS: Final = 30
"""How soon PostgreSQL asks whether the machine of a server is still there."""
LOOK_SECONDS: Final = 5.0
"""How soon a server misses a connection that was lost."""


def listen(
    database: Database, *, ended: Callable[[float], bool], look_seconds: float = LOOK_SECONDS
) -> None:
    """Says that a server takes in, on a connection of its own, until that has ended.

    Args:
        database: PostgreSQL. ended: waits for so many seconds, and says whether it has.
        look_seconds: between two looks at the connection.

    Raises:
        StorageError: it could not be had, or was lost; nobody hears it any more.
    """
    try:
        with database.engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            try:
                connection.execute(text(f"SET tcp_keepalives_idle = {KEEPALIVE_SECONDS}"))
                connection.execute(text(f"SELECT pg_advisory_lock_shared({LISTENING_LOCK})"))
                while not ended(look_seconds):
                    connection.execute(text("SELECT 1"))
            finally:
                # Closed rather than given back to the pool: with the session goes its lock.
                connection.invalidate()
    except SQLAlchemyError as error:
        raise StorageError(f"the connection was lost: {error}") from error


def anybody_listens(session: Session) -> bool:
    """Whether a server takes in now; on SQLite the one process there is does."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    nobody = text(f"SELECT pg_try_advisory_xact_lock({LISTENING_LOCK})")
    return not session.execute(nobody).scalar_one()
