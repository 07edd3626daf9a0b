"""Tells what a server breaks on every time from what a server in trouble refuses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from bifurk.retry import Verdict, verdict
from bifurk.transport import Response
from bifurk.waiting import Slot

SERVER_ERROR_TRIES: Final = 20
"""Answers of 500, or refusals that ask to be tried again, to one request before it is given up:
with the backoff some seven minutes. A restart or a repair is shorter; what the server breaks on
every time, or what is damaged on every way to it, must not block the rest."""


class Breakage:
    """Counts how often in a row one request has failed."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._times = 0

    def lasts(self, slot: Slot, response: Response) -> bool:
        """Whether the server has failed at this very request too often, or found it damaged."""
        refused = verdict(response.status) is Verdict.REJECTED
        if response.status != HTTPStatus.INTERNAL_SERVER_ERROR and not refused:
            return False
        if slot != self._slot:
            self._slot, self._times = slot, 0
        self._times += 1
        return self._times >= SERVER_ERROR_TRIES
