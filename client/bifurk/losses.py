"""The ledger of what the client could not deliver: reasons, and which snapshots."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import Final

from bifurk.wire import LossReport

MAX_RANGES: Final = 1_000
"""Of lost sequences kept. Every part repeats the report, so it must stay small; the server
keeps what earlier reports said, so the oldest ranges are the ones to forget."""


class LossLedger:
    """Counts drops by reason and remembers the lost sequences as merged ranges; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._ranges: list[tuple[int, int]] = []

    def drop(self, reason: str, sequence: int | None = None) -> None:
        """Counts one loss.

        Args:
            reason: a short word of a bounded vocabulary (``busy``, ``spool_full``, ...).
            sequence: of the snapshot that will never come; None when it was none of this
                attempt's snapshots.
        """
        with self._lock:
            self._dropped[reason] += 1
            if sequence is not None:
                self._ranges = _with(self._ranges, sequence)[-MAX_RANGES:]

    def lost(self, sequence: int) -> bool:
        """Whether this snapshot was dropped."""
        with self._lock:
            return any(first <= sequence <= last for first, last in self._ranges)

    def report(self, overhead_ratio: float | None = None) -> LossReport:
        """What was lost so far, for the next manifest or heartbeat.

        Args:
            overhead_ratio: measured share of the training time spent in the hook.
        """
        with self._lock:
            return LossReport(
                dropped=dict(self._dropped),
                lost_sequences=tuple(self._ranges),
                overhead_ratio=overhead_ratio,
            )


def _with(ranges: list[tuple[int, int]], sequence: int) -> list[tuple[int, int]]:
    """The ascending, disjoint ranges with one more sequence, neighbours merged."""
    place = bisect_left(ranges, (sequence + 1, -1))
    before, after = ranges[:place], ranges[place:]
    first = last = sequence
    if before and before[-1][1] >= sequence - 1:
        first, reached = before.pop()
        last = max(last, reached)
    if after and after[0][0] == last + 1:
        last = after.pop(0)[1]
    return [*before, (first, last), *after]
