"""A PostgreSQL cluster of the tests' own, on loopback; it goes with all it holds when stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from bifurk_service.store.engine import Database
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, wait_for

DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the server's programs out of the path, a folder a version."""
MIGRATED = "an empty bifurk"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A cluster for as long as the context is open."""
    cluster = Postgres()
    try:
        yield cluster
    finally:
        cluster.stop()


class Postgres:
    """`postgres` on a port of its own; user postgres, no password.

    It refuses to run as root: there it runs as another user, in a folder that is that user's.

    Args:
        durable: whether what is committed is synced to the disk; only time is measured then.
    """

    def __init__(self, *, durable: bool = False) -> None:
        programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="bifurk-postgres-"))
        self._user = _another_user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self.port = own_port()
        self._log = (self._folder / "log").open("wb")
        data = self._folder / "data"
        arguments = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "--no-locale"]
        self._start([programs / "initdb", "-D", data, *arguments]).wait(DEADLINE_SECONDS)
        served = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
        served += [] if durable else ["fsync=off"]
        options = [word for setting in served for word in ("-c", setting)]
        self._command: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            "-p",
            str(self.port),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._migrated = False
        self.start()

    def start(self) -> None:
        """Starts it, again after ``kill`` and ``halt``; waits until it answers."""
        try:
            wait_for(self._answers_at_last, "PostgreSQL")
        except AssertionError as error:
            raise AssertionError((self._folder / "log").read_text()) from error

    def kill(self) -> None:
        """SIGKILL to the first of its processes; the others follow when they notice."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)

    def halt(self) -> None:
        """Its immediate shutdown, which cuts off whoever is connected."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(DEADLINE_SECONDS)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All its processes stand still, and whoever asks it something hears nothing.

        The parent is the first to stop and the last to go on: meanwhile none is made, and none
        that ends is gone.
        """
        parent = psutil.Process(self.pid)
        stopped: list[psutil.Process] = []
        try:
            _stand_still([parent], stopped)
            _stand_still(parent.children(), stopped)
            yield
        finally:
            for process in reversed(stopped):
                process.resume()

    @property
    def pid(self) -> int:
        """Of its first process, the parent of all others."""
        return self._process.pid

    def database(self, name: str, *, like: str = "template1") -> str:
        """The URL of a new database, a copy of another."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def bifurk(self, name: str) -> str:
        """The URL of a new database with bifurk's schema: it is migrated once, and copied."""
        if not self._migrated:
            database = Database(self.database(MIGRATED))
            database.upgrade()
            database.close()
            self._migrated = True
        return self.database(name, like=MIGRATED)

    def address(self, database: str, *, user: str = "postgres") -> str:
        """Where libpq finds a database."""
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}"

    def stop(self) -> None:
        """Ends it at once, whoever is connected."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(DEADLINE_SECONDS)
        self._log.close()
        shutil.rmtree(self._folder)

    def _start(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        user = self._user
        return subprocess.Popen(
            command,
            cwd=self._folder,
            stdout=self._log,
            stderr=self._log,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )

    def _answers_at_last(self) -> bool:
        """What was killed leaves shared memory behind, without which its successor ends."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start(self._command)
        return self._answers()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


def _stand_still(processes: list[psutil.Process], stopped: list[psutil.Process]) -> None:
    """Returns once they do, or have ended; notes them before."""
    stopped += processes
    for process in processes:
        process.suspend()
    still = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    wait_for(lambda: all(one.status() in still for one in processes), "PostgreSQL to stand still")


def _programs() -> Path:
    """The folder of initdb. Without it the test fails in CI, and elsewhere is skipped."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path for path in DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    reason = "PostgreSQL is not installed; Debian has it in the package postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _another_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
