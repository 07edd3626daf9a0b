"""How many instructions of SQLite's machine a query takes: the same wherever the tests run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bifurk_service.store.engine import Session


def instructions_of(session: Session, query: Callable[[], Any]) -> int:
    """Of all that it asks the database, the second time."""
    query()
    connection: Any = session.connection().connection.driver_connection
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 1)
    try:
        query()
    finally:
        connection.set_progress_handler(None, 1)
    return count
