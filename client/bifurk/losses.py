"""The ledger of what the client could not deliver: reasons, and which snapshots."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from bifurk.wire import LossReport

MAX_RANGES: Final = 1_000
"""Of lost sequences kept. Every part repeats the report, so it must stay small; the server
keeps what earlier reports said, so the oldest ranges are the ones to forget."""


class LossLedger:
    """Counts drops by reason and remembers the lost sequences as merged ranges; thread-safe.

    Snapshots are told apart by their numbers in the process, and an attempt is the book that begins
    with its first one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._books = [_Book(first=0)]

    def begin(self, first: int) -> None:
        """What is lost from this snapshot's number on is another attempt's."""
        with self._lock:
            self._books.append(_Book(first=first))

    def drop(self, reason: str, sequence: int | None = None) -> None:
        """Counts one loss.

        Args:
            reason: a short word of a bounded vocabulary (``busy``, ``spool_full``, ...).
            sequence: number of the snapshot that will never come; None when it was none of this
                process's snapshots.
        """
        with self._lock:
            book = self._books[-1] if sequence is None else self._book_of(sequence)
            book.dropped[reason] += 1
            if sequence is not None:
                book.ranges = _with(book.ranges, sequence - book.first)[-MAX_RANGES:]

    def lost(self, sequence: int) -> bool:
        """Whether this snapshot was dropped."""
        with self._lock:
            book = self._book_of(sequence)
            own = sequence - book.first
            return any(first <= own <= last for first, last in book.ranges)

    def report(
        self, overhead_ratio: float | None = None, *, first: int | None = None
    ) -> LossReport:
        """What was lost so far of an attempt, for its next manifest or heartbeat.

        Args:
            overhead_ratio: measured share of the training time spent in the hook.
            first: number of the attempt's first snapshot; None for the last attempt.
        """
        with self._lock:
            book = self._books[-1] if first is None else self._book_of(first)
            return LossReport(
                dropped=dict(book.dropped),
                lost_sequences=tuple(book.ranges),
                overhead_ratio=overhead_ratio,
            )

    def _book_of(self, number: int) -> _Book:
        """Of several that begin with the same number, the last: the others have no snapshot."""
        return next(book for book in reversed(self._books) if book.first <= number)


@dataclass(slots=True, kw_only=True)
class _Book:
    """Of one attempt: counts by reason, and ranges of its own sequences."""

    first: int
    dropped: Counter[str] = field(default_factory=Counter)
    ranges: list[tuple[int, int]] = field(default_factory=list)


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
