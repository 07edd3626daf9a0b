"""What an answer tells a client beside what became of its request."""

from __future__ import annotations

from typing import Any, Final

from bifurk_service.store.alert_news import AlertNews
from bifurk_service.store.beside import beside
from bifurk_service.store.directives import wishes
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt

MOST_NAMED: Final = 16
"""Other attempts that live at the same time."""


class Answers:
    """Tells attempts what the server wants of them, and what it has found in them.

    Paths are from the server's root; the client knows under which address it found that.
    """

    def __init__(self) -> None:
        self._news = AlertNews()

    def about(self, session: Session, attempt: Attempt) -> dict[str, Any]:
        """For an attempt that was read in this session."""
        return {
            "directives": wishes(session, attempt),
            "alerts": self._news.of(session, attempt.id),
            "page": f"/runs/{attempt.run_id}",
            "beside": beside(session, attempt)[:MOST_NAMED],
        }
