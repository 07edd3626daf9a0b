"""Says to the workers of a database, for as long as this process takes in, that somebody does."""

from __future__ import annotations

import logging
import threading
from typing import Final

from bifurk_service.errors import StorageError
from bifurk_service.store.engine import Database
from bifurk_service.store.listening import LOOK_SECONDS, listen

log = logging.getLogger("bifurk.service")

RETRY_SECONDS: Final = 1.0


class Ear:
    """A connection that is held open; without it a worker counts no silence against a training.

    Args:
        database: on SQLite there is nobody else to say it to.
        look_seconds: how soon a connection that was lost is missed.
    """

    def __init__(self, database: Database, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bifurk-ear", daemon=True)

    def start(self) -> None:
        """From now on it is said."""
        if not self._database.of_one_process:
            self._thread.start()

    def stop(self) -> None:
        """It is said no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                listen(self._database, ended=self._stopping.wait, look_seconds=self._look_seconds)
            except StorageError as error:
                log.debug("workers do not know that this server listens: %s", error.detail)
                self._stopping.wait(RETRY_SECONDS)
