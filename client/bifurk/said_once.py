"""What a log is told once of each kind: a server in trouble would otherwise fill it."""

from __future__ import annotations

import logging

from bifurk.retry import Verdict, problem_text, shut_advice, verdict
from bifurk.transport import Response

_log = logging.getLogger("bifurk")


class SaidOnce:
    """Logs, and remembers of what kinds."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def log(self, kind: str, level: int, message: str, *, trace: bool = False) -> None:
        """Logs a message unless one of its kind was logged; with the present error's trace."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            _log.log(level, "%s", message, exc_info=trace)

    def final(self, response: Response) -> None:
        """Logs an answer that is not tried for again, where it is a refusal."""
        if verdict(response.status) not in (Verdict.DELIVERED, Verdict.RETRY):
            self.refusal(response)

    def refusal(self, response: Response) -> None:
        """Logs the first refusal of each status, and what helps."""
        message = f"the server refused a request ({response.status})"
        if verdict(response.status) is Verdict.SHUT:
            message = f"snapshots wait, training goes on: {shut_advice(response.status)}"
        self.log(str(response.status), logging.WARNING, f"{message}: {problem_text(response)}")
