"""Which snapshots of an attempt may be judged next, and which wait for one that is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Queued(Protocol):
    """What ordering needs to know of a snapshot."""

    @property
    def sequence(self) -> int:
        """Its place on the attempt's grid."""
        ...

    @property
    def received_parts(self) -> int:
        """How many of its parts are here."""
        ...

    @property
    def expected_parts(self) -> int:
        """How many there will be."""
        ...


Q = TypeVar("Q", bound=Queued)


def in_order(
    cursor: int, waiting: Sequence[Q], *, absent: Iterable[tuple[int, int]], overdue: set[int]
) -> list[Q]:
    """The longest run of snapshots beyond the cursor that nothing missing precedes.

    Args:
        cursor: the last sequence that judging has passed.
        waiting: snapshots by ascending sequence; those at or behind the cursor are passed over.
        absent: closed ranges of sequences that will never come (dropped, or failed here); not
            asked for where nothing is missing.
        overdue: sequences that have waited for what precedes or completes them long enough.
    """
    gone: list[tuple[int, int]] | None = None
    ready: list[Q] = []
    expected = cursor + 1
    for snapshot in waiting:
        if snapshot.sequence <= cursor:
            continue
        complete = snapshot.received_parts >= snapshot.expected_parts
        contiguous = snapshot.sequence == expected
        if not contiguous:
            gone = list(absent) if gone is None else gone
            contiguous = _covered(expected, snapshot.sequence, gone)
        if not (complete and contiguous) and snapshot.sequence not in overdue:
            break
        ready.append(snapshot)
        expected = snapshot.sequence + 1
    return ready


def _covered(first: int, end: int, ranges: list[tuple[int, int]]) -> bool:
    """Whether the half-open range [first, end) lies within the closed ranges."""
    for low, high in sorted(ranges):
        if low <= first <= high:
            first = high + 1
    return first >= end
