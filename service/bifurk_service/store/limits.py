"""How much of PostgreSQL a process uses, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one process's connections.

    Attributes:
        connections: at most, at once.
        wait_seconds: for one of them to be free, for the server to accept one, and for the sign
            that one which was kept is still good.
        statement_seconds: the longest that one statement may take; None: any time.
    """

    connections: int = 15
    wait_seconds: float = 5.0
    statement_seconds: float | None = None
