"""How long an attempt has been silent, of the time in which this process was there to notice."""

from __future__ import annotations


class Listening:
    """Since when silence counts: it begins anew whenever nobody was there, or the clock was moved.

    A machine that was suspended, a process that was stopped, a database or all servers away: what
    trainings would have said meanwhile was not heard, which is no silence of theirs. Nor is an hour
    that a clock was set forward by.

    Args:
        since: seconds since 1970 UTC when this process began to listen.
        longest_gap_seconds: between two looks, beyond which nobody was there.
    """

    def __init__(self, since: float, *, longest_gap_seconds: float) -> None:
        self._since = since
        self._longest_gap_seconds = longest_gap_seconds
        self._looked_at: float | None = None
        self._ahead: dict[float, float] = {}

    def look(self, now: float) -> None:
        """Notes that somebody is there at this time; to be called before each judgement."""
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        if not 0.0 <= passed <= self._longest_gap_seconds:
            self._since = now
        self._ahead = {
            seen_at: min(noticed_at, now)
            for seen_at, noticed_at in self._ahead.items()
            if seen_at > now
        }
        self._looked_at = now

    def miss(self, now: float) -> None:
        """Notes that nobody takes in anything at this time."""
        self._since = self._looked_at = now

    def silence_seconds(self, seen_at: float, now: float) -> float:
        """How long nothing was heard, of an attempt last heard of at ``seen_at``.

        One heard of in the future, by a server whose clock is ahead, after ``now`` was read, or
        before the clock was set back, counts as heard of when that was noticed.
        """
        heard_at = seen_at if seen_at <= now else self._ahead.setdefault(seen_at, now)
        return now - max(heard_at, self._since)
