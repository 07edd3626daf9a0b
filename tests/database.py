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


def migrated(data_dir: Path) -> None:
    """Puts an empty database where a server finds its own, unless there is one: it waits less."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = data_dir / "bifurk.db"
    if not file.exists():
        file.write_bytes(_migrated())


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migrated.db"
        database = Database(f"sqlite:///{file}")
        database.upgrade()
        database.close()
        return file.read_bytes()
