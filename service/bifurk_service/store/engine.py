"""The database: transactions that read one state of it, and that write one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from sqlalchemy import make_url, text
from sqlalchemy.exc import DataError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from bifurk_service.errors import InvalidError, StorageError
from bifurk_service.store import migrating
from bifurk_service.store.connecting import BUSY_TIMEOUT_SECONDS, engine_of
from bifurk_service.store.events import BESIDE
from bifurk_service.store.limits import Limits
from bifurk_service.store.locks import RUN_LOCKS, WRITER_LOCK
from bifurk_service.store.migrating import alembic_config

__all__ = ["Database", "Session", "alembic_config", "check_writable"]

ALL_IN_USE: Final = "every connection to the database is in use"
STANDSTILL_SECONDS: Final = 15
"""A writer that says nothing for so long in the midst of it is stopped, and has written nothing."""


class Database:
    """Sessions for reading, and one writer at a time.

    SQLite admits one writer; a lock in front of it makes writers of this process wait in line
    instead of polling, and ``BEGIN IMMEDIATE`` keeps a reader from upgrading into a deadlock.
    PostgreSQL would admit many; an advisory lock lets one at a time in from all processes, so that
    what is read before it is written is still so, and ids are seen in the order they were given.
    Parts of different runs are taken in beside each other.

    Args:
        url: SQLAlchemy's. limits: of connections to PostgreSQL.
    """

    def __init__(self, url: str, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.url = url
        self.of_one_process = make_url(url).get_backend_name() == "sqlite"
        self._writer = threading.RLock()
        self.engine = engine_of(url, limits)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        reading = (
            self.engine
            if self.of_one_process
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._readings = sessionmaker(reading, expire_on_commit=False)
        self._glances = sessionmaker(
            self.engine.execution_options(bifurk_glance=True)
            if self.of_one_process
            else self.engine.execution_options(isolation_level="AUTOCOMMIT"),
            expire_on_commit=False,
        )

    def read(self) -> AbstractContextManager[Session]:
        """A session that sees one state of the database; nothing it does is kept.

        Raises:
            StorageError: the database does not answer.
        """
        return self._reading(self._readings)

    def glance(self) -> AbstractContextManager[Session]:
        """A session for a single statement: no transaction is begun and ended around it.

        Of several each sees the state of its own moment.

        Raises:
            StorageError: the database does not answer.
        """
        return self._reading(self._glances)

    @contextmanager
    def _reading(self, sessions: sessionmaker[Session]) -> Iterator[Session]:
        try:
            with sessions() as session:
                yield session
        except (OperationalError, InternalError) as error:
            raise StorageError(
                f"the database does not answer: {error.orig}", retry_after_seconds=5
            ) from error
        except PoolTimeoutError as error:
            raise StorageError(ALL_IN_USE, retry_after_seconds=5, reason="connections") from error

    @contextmanager
    def write(self, *, in_line: bool = True, beside: str | None = None) -> Iterator[Session]:
        """A session whose work is committed at the end, or not at all.

        Args:
            in_line: whether it waits for the writers before it, as it must where ids are seen by
                others in the order they were given, or what was read must still be so.
            beside: a run, as project/name: nobody else writes to it meanwhile, and nobody who is in
                line, but others may write beside to other runs. Events are written in line only.

        Raises:
            StorageError: the database could not take it (full disk, locked, gone).
            InvalidError: it holds what no column takes.
        """
        alone = self.of_one_process or (in_line and beside is None)
        with self._in_line() if alone else nullcontext():
            try:
                with self._sessions() as session, session.begin():
                    self._begin_write(session, in_line=in_line, beside=beside)
                    yield session
            except (OperationalError, InternalError) as error:
                raise StorageError(
                    f"the database did not take it: {error.orig}", retry_after_seconds=5
                ) from error
            except PoolTimeoutError as error:
                raise StorageError(
                    ALL_IN_USE, retry_after_seconds=5, reason="connections"
                ) from error
            except DataError as error:
                raise InvalidError(f"the database cannot hold it: {error.orig}") from error

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        """This process's line, in front of that of all: who waits in it holds no connection."""
        longest = -1 if self.of_one_process else BUSY_TIMEOUT_SECONDS
        if not self._writer.acquire(timeout=longest):
            raise StorageError(f"no turn to write came in {longest} s", retry_after_seconds=5)
        try:
            yield
        finally:
            self._writer.release()

    def _begin_write(self, session: Session, *, in_line: bool, beside: str | None) -> None:
        if self.of_one_process:
            session.connection(execution_options={"bifurk_write": True})
            return
        locks = ""
        if beside is not None:
            session.info[BESIDE] = True
            locks = (
                f", pg_advisory_xact_lock_shared({WRITER_LOCK})"
                f", pg_advisory_xact_lock({RUN_LOCKS}, hashtext(:run))"
            )
        elif in_line:
            locks = f", pg_advisory_xact_lock({WRITER_LOCK})"
        # From left to right: the waits for the locks are bounded already.
        begin = (
            f"SELECT set_config('lock_timeout', '{BUSY_TIMEOUT_SECONDS}s', true), "
            f"set_config('idle_in_transaction_session_timeout', '{STANDSTILL_SECONDS}s', true)"
        )
        session.execute(text(begin + locks), {"run": beside} if beside else {})

    def upgrade(self) -> None:
        """Brings the schema up to this version's; see ``migrating.upgrade``."""
        migrating.upgrade(self.url)

    def check_current(self) -> None:
        """Raises ``SetupError`` unless the schema is this version's."""
        migrating.check_current(self.url, self.engine)

    def size_bytes(self) -> int:
        """Bytes the database takes on disk."""
        query = (
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            if self.of_one_process
            else "SELECT pg_database_size(current_database())"
        )
        with self.engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


def check_writable(database: Database) -> None:
    """Raises ``StorageError`` unless a write transaction can begin."""
    with database.write() as session:
        session.execute(text("SELECT 1"))
