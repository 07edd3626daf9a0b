"""Other jobs that train under the same run's name at the same time, as the server knows of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from bifurk.identity import Identity

MOST_TOLD: Final = 16
"""Of other jobs in the log: who has read of so many knows of it."""

_log = logging.getLogger("bifurk")


class Neighbours:
    """Says once of each in the log, of the first ``MOST_TOLD``; on the sender's thread.

    Args:
        identity: whose run it is.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._told: set[str] = set()

    def read(self, answer: Mapping[str, Any]) -> None:
        """Reads an answer to an attempt of the run."""
        beside = answer.get("beside")
        if not isinstance(beside, list):
            return
        for attempt in beside:
            if len(self._told) >= MOST_TOLD:
                return
            if isinstance(attempt, str) and attempt.isprintable() and attempt not in self._told:
                self._told.add(attempt)
                _log.warning(
                    "another job trains under the same name, %s/%s, as attempt %.128s: both are "
                    "kept, and the run's course is that of the attempt that began last (give each "
                    "job a run= of its own)",
                    self._identity.project,
                    self._identity.run,
                    attempt,
                )
