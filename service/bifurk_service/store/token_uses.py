"""When tokens were last used: to the hour, so that requests do not wait for it to be written."""

from __future__ import annotations

import logging
import threading
from typing import Final

from sqlalchemy import or_, update

from bifurk_service.errors import BifurkError
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Token

log = logging.getLogger("bifurk.service")

APART_SECONDS: Final = 3600.0
"""Between two writes about one token."""


class TokenUses:
    """Remembers which uses are written down already; safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._written_at: dict[int, float] = {}

    def is_due(self, token_id: int, *, now: float) -> bool:
        """Whether a use at this time is to be written; true once, then for an hour no more.

        Args:
            now: seconds since 1970 UTC.
        """
        with self._lock:
            last = self._written_at.get(token_id)
            if last is not None and abs(now - last) < APART_SECONDS:
                return False
            self._written_at[token_id] = now
            return True

    def write(self, token_id: int, *, now: float) -> None:
        """Writes a use down, unless another process just did; never raises."""
        stale = or_(
            Token.used_at.is_(None), Token.used_at <= now - APART_SECONDS, Token.used_at > now
        )
        try:
            with self._database.write() as session:
                session.execute(
                    update(Token).where(Token.id == token_id, stale).values(used_at=now)
                )
        except BifurkError as error:
            log.warning("the use of token %d is not written down: %s", token_id, error.detail)
