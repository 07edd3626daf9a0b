"""The database: connections, transactions, and the migrations that bring it up to date."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DatabaseError, DataError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from bifurk_service.errors import InvalidError, SetupError, StorageError
from bifurk_service.store.events import BESIDE
from bifurk_service.store.limits import Limits

__all__ = ["Database", "Session", "alembic_config", "network_filesystem"]

log = logging.getLogger("bifurk.service")

BUSY_TIMEOUT_SECONDS: Final = 5
MOST_CONNECTIONS: Final = 60
"""More than threads that answer requests, so that none of them waits for another's connection."""
ALL_IN_USE: Final = "every connection to the database is in use"
WRITER_LOCK: Final = 0x626966_75726B
"""The one of PostgreSQL's advisory locks that every write holds."""
RUN_LOCKS: Final = 0x626966
"""The first half of those that are a run's each."""
UPGRADE_LOCK: Final = WRITER_LOCK + 1
"""The one that whoever upgrades the schema holds."""
UPGRADE_LOCK_SECONDS: Final = 2
"""How long an upgrade waits for a table: everybody who wants it then waits behind the upgrade."""
LOCK_NOT_AVAILABLE: Final = "55P03"
UPGRADE_TRIES: Final = 30
UPGRADE_PAUSE_SECONDS: Final = 2.0
"""Between two tries: what waited behind the one gets its turn."""
STANDSTILL_SECONDS: Final = 15
"""A writer that says nothing for so long in the midst of it is stopped, and has written nothing."""
NETWORK_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "lustre", "beegfs", "ceph", "gpfs"}
)
"""SQLite's write-ahead log needs shared memory between its readers, which these do not give."""


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
        self.engine = _engine(url, limits)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        reading = (
            self.engine
            if self.of_one_process
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._readings = sessionmaker(reading, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database; nothing it does is kept.

        Raises:
            StorageError: the database does not answer.
        """
        try:
            with self._readings() as session:
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
        session.execute(
            text(
                f"SELECT set_config('lock_timeout', '{BUSY_TIMEOUT_SECONDS}s', true), "
                "set_config('idle_in_transaction_session_timeout', "
                f"'{STANDSTILL_SECONDS}s', true)"
            )
        )
        if beside is not None:
            session.info[BESIDE] = True
            session.execute(text(f"SELECT pg_advisory_xact_lock_shared({WRITER_LOCK})"))
            session.execute(
                text(f"SELECT pg_advisory_xact_lock({RUN_LOCKS}, hashtext(:run))"), {"run": beside}
            )
        elif in_line:
            session.execute(text(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"))

    def upgrade(self) -> None:
        """Brings the schema up to this version's, whoever else does at the same time.

        Raises:
            SetupError: it cannot be, or its tables were never free for long enough.
        """
        try:
            with self._understood():
                for _ in range(UPGRADE_TRIES):
                    if self._is_upgraded():
                        return
                    time.sleep(UPGRADE_PAUSE_SECONDS)
        except CommandError as error:
            raise SetupError(
                f"the database is of another version of bifurk ({error}); start that version, or a "
                "newer one, on it"
            ) from error

        raise SetupError(
            f"the tables were in use by others whenever this upgrade tried, {UPGRADE_TRIES} times; "
            "nothing is changed: end what reads for minutes (an export, a backup), then try again"
        )

    def _is_upgraded(self) -> bool:
        """Tries once; False where it would have had to wait for long."""
        try:
            command.upgrade(alembic_config(self.url), "head")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            log.info("the upgrade waits for tables that are in use, and tries again")
            return False
        return True

    def check_current(self) -> None:
        """Raises ``SetupError`` unless the schema is this version's."""
        head = ScriptDirectory.from_config(alembic_config(self.url)).get_current_head()
        with self._understood(), self.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current != head:
            raise SetupError(
                f"the database is at revision {current}, this version needs {head}; "
                "run `bifurk db upgrade`"
            )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as error:
            place = make_url(self.url).render_as_string(hide_password=True)
            raise SetupError(f"{place} cannot be used: {error.args[0]}") from error

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


def alembic_config(url: str) -> Config:
    """Alembic's configuration for this database, with the migrations that came along."""
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def network_filesystem(path: Path) -> str | None:
    """The kind of network filesystem a path lies on, or None (also where it cannot be told)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    resolved = path.absolute().resolve()
    best, kind = Path("/"), ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, mount_point, filesystem, *_ = line.split(" ")
        mount = Path(mount_point.replace("\\040", " "))
        if resolved.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, filesystem
    return kind if kind in NETWORK_FILESYSTEMS else None


def _migrations() -> Path:
    installed = Path(__file__).parents[1] / "migrations"
    return installed if installed.exists() else Path(__file__).parents[3] / "migrations"


def _engine(url: str, limits: Limits) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        from bifurk_service.store.patience import patient_engine  # noqa: PLC0415 - an extra

        return patient_engine(
            url, limits, json_serializer=_json_of_finite_numbers, hide_parameters=True
        )
    if parsed.database and parsed.database != ":memory:":
        folder = Path(parsed.database).parent
        if kind := network_filesystem(folder):
            raise SetupError(
                f"{folder} is on a network filesystem ({kind}), where SQLite loses data; "
                "use a local folder, or PostgreSQL through BIFURK_DATABASE_URL"
            )
        folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        max_overflow=MOST_CONNECTIONS,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _json_of_finite_numbers(document: Any) -> str:
    """PostgreSQL refuses NaN and infinities in JSON; they become null, as REST shows them."""
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), allow_nan=False)


def _finite(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "case_sensitive_like=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    immediate = connection.get_execution_options().get("bifurk_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def check_writable(database: Database) -> None:
    """Raises ``StorageError`` unless a write transaction can begin."""
    with database.write() as session:
        session.execute(text("SELECT 1"))
