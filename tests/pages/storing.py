"""The store of a server in a test, for what would take too long to send."""

from __future__ import annotations

from bifurk_service.settings import Settings
from bifurk_service.store.engine import Database
from tests.pages.serving import Served


def open_store(served: Served) -> Database:
    """The database in a server's folder, beside the server itself."""
    return Database(Settings(data_dir=served.server.data_dir).resolved_database_url)
