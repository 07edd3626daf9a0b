"""Starts the server: database up to date, address allowed, socket open, then requests."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from bifurk.folder_lock import FolderInUseError, FolderLock
from bifurk_service.app import create_app, create_worker
from bifurk_service.errors import SetupError
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import any_token

GRACE_SECONDS = 5
"""How long requests under way, the stream's among them, may go on after a stop."""
LOCK_FILE = ".lock"
"""In the data folder; holds the process id of the server that has, or last had, the folder."""


def serve(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Serves until interrupted.

    Args:
        settings: all of them. on_ready: told the address once the socket listens.

    Raises:
        SetupError: the address, the database, the disk or another server does not allow it.
    """
    if _is_sqlite(settings) and not settings.pipeline:
        raise SetupError(
            "BIFURK_PIPELINE=false leaves the pipeline to `bifurk worker`, and "
            "SQLite is of one process; set BIFURK_DATABASE_URL to PostgreSQL"
        )
    _run(settings, create_app, on_ready)


def work(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Measures, judges and tells until interrupted, beside others; another process takes in.

    Args:
        settings: all of them. on_ready: told the address of its metrics once the socket listens.

    Raises:
        SetupError: the address or the database does not allow it.
    """
    if _is_sqlite(settings):
        raise SetupError(
            "SQLite is of one process: `bifurk serve` does all on it; a worker of its own needs "
            "PostgreSQL in BIFURK_DATABASE_URL"
        )
    _run(settings, create_worker, on_ready)


def _run(
    settings: Settings,
    create: Callable[[Settings], FastAPI],
    on_ready: Callable[[str], None],
) -> None:
    with _alone(settings):
        server, listener = _prepare(settings, create)
        on_ready(_address(settings, listener))
        server.run(sockets=[listener])


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serves in a thread of its own for as long as the context is open; gives the address.

    Raises:
        SetupError: the address, the database, the disk or another server does not allow it.
    """
    with _alone(settings):
        server, listener = _prepare(settings, create_app)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="bifurk-server", daemon=True
        )
        thread.start()
        try:
            yield _address(settings, listener)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Holds the data folder where the database is in it; PostgreSQL is of many processes."""
    if not _is_sqlite(settings):
        yield
        return
    _make_data_dir(settings)
    lock = _lock(settings.data_dir)
    try:
        yield
    finally:
        lock.release()


def _lock(folder: Path) -> FolderLock:
    file = folder / LOCK_FILE
    try:
        lock = FolderLock(file)
    except FolderInUseError as error:
        raise SetupError(
            f"another server{_holder(file)} uses {folder}; stop it or pass --data-dir"
        ) from error
    except OSError as error:
        raise SetupError(f"{folder} cannot be locked: {error.strerror}") from error
    # The number only helps whoever is turned away: a full disk is no reason not to start.
    with suppress(OSError):
        file.write_text(f"{os.getpid()}\n", encoding="ascii")
    return lock


def _holder(file: Path) -> str:
    try:
        return f" (pid {int(file.read_text(encoding='ascii'))})"
    except (OSError, ValueError):
        return ""


def _prepare(
    settings: Settings, create: Callable[[Settings], FastAPI]
) -> tuple[uvicorn.Server, socket.socket]:
    prepare_schema(settings)
    _refuse_open_door(settings)
    listener = _listen(settings)
    config = uvicorn.Config(
        create(settings),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config), listener


def _address(settings: Settings, listener: socket.socket) -> str:
    return f"http://{settings.url_host}:{listener.getsockname()[1]}"


def prepare_schema(settings: Settings) -> None:
    """Brings SQLite up to date; any other database must be so already."""
    _make_data_dir(settings)
    database = Database(settings.resolved_database_url)
    try:
        if _is_sqlite(settings):
            database.upgrade()
        database.check_current()
    finally:
        database.close()


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{settings.data_dir} cannot be made: {error.strerror}") from error


def _is_sqlite(settings: Settings) -> bool:
    return settings.resolved_database_url.startswith("sqlite")


def _refuse_open_door(settings: Settings) -> None:
    database = Database(settings.resolved_database_url)
    try:
        with database.read() as session:
            guarded = any_token(session)
    finally:
        database.close()
    if not settings.on_loopback and not guarded:
        raise SetupError(
            f"{settings.host} can be reached from other machines and there is no token; "
            "make one with `bifurk token create NAME --scope admin`, or listen on 127.0.0.1"
        )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's delay off; else every answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SetupError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "is another server running? `--port 0` takes a free port"
        ) from error
    listener.listen(128)
    return listener
