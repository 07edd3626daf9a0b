"""A database as the migrations leave it: made once a session, copied for whoever wants one."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from bifurk_service.store.engine import Database


def fresh_database(folder: Path) -> Database:
    """An empty one in this folder, for less than the migrations take."""
    file = folder / "test.db"
    file.write_bytes(_migrated())
    return Database(f"sqlite:///{file}")


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migrated.db"
        database = Database(f"sqlite:///{file}")
        database.upgrade()
        database.close()
        return file.read_bytes()
