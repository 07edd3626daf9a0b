"""Servers that the tests of the interface share: an open one, and one that asks for tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import create_token
from tests.api.filling import Caller, Filled, fill
from tests.database import migrated
from tests.server import Server

DAY_SECONDS = 86_400
CHANNEL = "nowhere"
"""Leads to this machine, which the server's settings do not allow: nothing is ever sent."""


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without tokens."""
    server = Server(tmp_path_factory.mktemp("open") / "data")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def anyone(open_server: Server) -> Caller:
    """Whoever calls the open server."""
    return Caller(open_server)


@pytest.fixture(scope="session")
def filled(anyone: Caller) -> Filled:
    """The open server's runs; tests that change something make a run of their own."""
    return fill(anyone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A server with tokens, by whom they were made for; ``none`` calls without one."""

    server: Server
    callers: dict[str, Caller]
    filled: Filled


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with a token of every kind, filled by its admin."""
    data_dir = tmp_path_factory.mktemp("guarded") / "data"
    tokens = make_tokens(data_dir)
    alerts_file = data_dir.parent / "alerts.yaml"
    alerts_file.write_text(
        f"channels: {{{CHANNEL}: {{type: webhook, url: 'http://127.0.0.1:9/secret-path'}}}}"
    )
    server = Server(data_dir, {"BIFURK_ALERTS_FILE": str(alerts_file)})
    callers = {name: Caller(server, token) for name, token in tokens.items()}
    callers["none"] = Caller(server)
    yield Guarded(server=server, callers=callers, filled=fill(callers["admin"]))
    server.stop()


def make_tokens(data_dir: Path) -> dict[str, str]:
    """A token of each scope, one for another project, one that has expired, by name."""
    migrated(data_dir)
    now = time.time()
    kinds: dict[str, tuple[str, str | None, float | None]] = {
        "write": ("write", None, None),
        "read": ("read", None, now + DAY_SECONDS),
        "admin": ("admin", None, None),
        "elsewhere": ("admin", "elsewhere", None),
        "expired": ("admin", None, now - 1),
    }
    return {
        name: make_token(data_dir, name, scope, project=project, expires_at=until)
        for name, (scope, project, until) in kinds.items()
    }


def make_token(
    data_dir: Path,
    name: str,
    scope: str,
    *,
    project: str | None = None,
    expires_at: float | None = None,
) -> str:
    """One more token, also of a server that runs."""
    database = Database(Settings(data_dir=data_dir).resolved_database_url)
    with database.write() as session:
        token = create_token(
            session,
            name=name,
            scope=scope,
            project=project,
            expires_at=expires_at,
            now=time.time(),
        )
    database.close()
    return token
