"""Bringing a database's schema up to this version's, and saying why that cannot be."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from bifurk_service.errors import SetupError

log = logging.getLogger("bifurk.service")

UPGRADE_LOCK_SECONDS: Final = 2
"""How long an upgrade waits for a table: everybody who wants it then waits behind the upgrade."""
IN_USE: Final = frozenset({"55P03", "40P01"})
"""What PostgreSQL says of a table that is in use: in vain waited for, or each has the other's."""
UPGRADE_TRIES: Final = 30
UPGRADE_PAUSE_SECONDS: Final = 2.0
"""Between two tries: what waited behind the one gets its turn."""


def upgrade(url: str) -> None:
    """Brings the schema up to this version's, whoever else does at the same time.

    Raises:
        SetupError: it cannot be, or its tables were never free for long enough.
    """
    try:
        with _understood(url):
            for _ in range(UPGRADE_TRIES):
                if _is_upgraded(url):
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


def check_current(url: str, engine: Engine) -> None:
    """Raises ``SetupError`` unless the schema is this version's."""
    head = ScriptDirectory.from_config(alembic_config(url)).get_current_head()
    with _understood(url), engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head:
        raise SetupError(
            f"the database is at revision {current}, this version needs {head}; "
            "run `bifurk db upgrade`"
        )


def alembic_config(url: str) -> Config:
    """Alembic's configuration for this database, with the migrations that came along."""
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def _is_upgraded(url: str) -> bool:
    """Tries once; False where it would have had to wait for long."""
    try:
        command.upgrade(alembic_config(url), "head")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in IN_USE:
            raise
        log.info("the upgrade waits for tables that are in use, and tries again")
        return False
    return True


@contextmanager
def _understood(url: str) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        place = make_url(url).render_as_string(hide_password=True)
        raise SetupError(f"{place} cannot be used: {error.args[0]}") from error


def _migrations() -> Path:
    installed = Path(__file__).parents[1] / "migrations"
    return installed if installed.exists() else Path(__file__).parents[3] / "migrations"
