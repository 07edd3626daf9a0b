"""Engines of SQLAlchemy: what a connection to SQLite or to PostgreSQL is set to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url

from bifurk_service.errors import SetupError
from bifurk_service.store.limits import Limits
from bifurk_service.store.network_folders import network_filesystem

BUSY_TIMEOUT_SECONDS: Final = 5
"""How long a writer waits for those of other processes."""
MOST_CONNECTIONS: Final = 60
"""More than threads that answer requests, so that none of them waits for another's connection."""


def engine_of(url: str, limits: Limits) -> Engine:
    """An engine for a database; a folder for SQLite is made where there is none.

    Raises:
        SetupError: SQLite would lie on a network's filesystem.
    """
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
    options = connection.get_execution_options()
    if not options.get("bifurk_glance", False):
        immediate = options.get("bifurk_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
