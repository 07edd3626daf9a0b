"""Starts the server: database up to date, address allowed, socket open, then requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from bifurk_service.app import create_app
from bifurk_service.errors import SetupError
from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import any_token

GRACE_SECONDS = 5
"""How long requests under way, the stream's among them, may go on after a stop."""


def serve(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Serves until interrupted.

    Args:
        settings: all of them. on_ready: told the address once the socket listens.

    Raises:
        SetupError: the address, the database or the disk does not allow it.
    """
    server, listener = _prepare(settings)
    on_ready(_address(settings, listener))
    server.run(sockets=[listener])


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serves in a thread of its own for as long as the context is open; gives the address.

    Raises:
        SetupError: the address, the database or the disk does not allow it.
    """
    server, listener = _prepare(settings)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="bifurk-server", daemon=True
    )
    thread.start()
    try:
        yield _address(settings, listener)
    finally:
        server.should_exit = True
        thread.join()


def _prepare(settings: Settings) -> tuple[uvicorn.Server, socket.socket]:
    prepare_schema(settings)
    _refuse_open_door(settings)
    listener = _listen(settings)
    config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config), listener


def _address(settings: Settings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def prepare_schema(settings: Settings) -> None:
    """Brings SQLite up to date; any other database must be so already."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{settings.data_dir} cannot be made: {error.strerror}") from error
    database = Database(settings.resolved_database_url)
    try:
        if settings.resolved_database_url.startswith("sqlite"):
            database.upgrade()
        database.check_current()
    finally:
        database.close()


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
