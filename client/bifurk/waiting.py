"""Who waits to be sent: order, bounds and eviction, without any bytes."""

from __future__ import annotations

import threading
import time
from bisect import insort
from dataclasses import dataclass
from typing import Final

MAX_ENTRIES: Final = 10_000
"""Waiting at once, however small: a folder of more files is slow to list and to adopt."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Slot:
    """A place in the line.

    Attributes:
        number: ascending; of the size of nanoseconds since 1970, so that what an earlier
            process left sorts before what this one adds.
        size_bytes: what it takes up.
        sequence: of the snapshot of this process's attempt; None when it holds none.
    """

    number: int
    size_bytes: int
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer to a newcomer: its slot, or None; and who had to leave for it."""

    slot: Slot | None
    evicted: tuple[Slot, ...] = ()


class WaitingLine:
    """First in, first out, within bounds: the oldest leave first; thread-safe.

    A slot is admitted before its bytes are written and published after, so that neither
    the bound nor the reader ever waits for a disk. The slot on loan to the reader is spared.

    Args:
        max_bytes: of all slots together; None for no bound. max_entries: likewise.
    """

    def __init__(self, *, max_bytes: int | None, max_entries: int | None = MAX_ENTRIES) -> None:
        self._lock = threading.RLock()
        self._slots: list[Slot] = []
        self._lent: Slot | None = None
        self._last_number = 0
        self._bytes = 0
        self._entries = 0
        self._max_bytes = max_bytes
        self._max_entries = max_entries

    def admit(
        self, size_bytes: int, *, sequence: int | None = None, number: int | None = None
    ) -> Admission:
        """Makes room and reserves it.

        Args:
            size_bytes: what the newcomer takes up.
            sequence: of its snapshot, when it is one of this process's attempt.
            number: the one it had in another line; the next free one when it is taken.
        """
        with self._lock:
            if self._max_bytes is not None and size_bytes > self._max_bytes:
                return Admission(slot=None)
            evicted = self._evict(size_bytes)
            if self._full(size_bytes):
                return Admission(slot=None, evicted=evicted)
            number = max(time.time_ns() if number is None else number, self._last_number + 1)
            self._last_number = number
            self._bytes += size_bytes
            self._entries += 1
            slot = Slot(number=number, size_bytes=size_bytes, sequence=sequence)
            return Admission(slot=slot, evicted=evicted)

    def publish(self, slot: Slot) -> None:
        """Shows an admitted slot to the reader: its bytes are there."""
        with self._lock:
            insort(self._slots, slot)

    def withdraw(self, slot: Slot) -> None:
        """Gives an admitted slot's room back: its bytes could not be written."""
        with self._lock:
            self._free(slot)

    def lend(self) -> Slot | None:
        """The oldest slot, which is not evicted until given back or removed."""
        with self._lock:
            self._lent = self._slots[0] if self._slots else None
            return self._lent

    def give_back(self) -> None:
        """Ends the loan; the slot keeps its place."""
        with self._lock:
            self._lent = None

    def remove(self, slot: Slot) -> None:
        """Ends the slot's wait; one that is gone already is fine."""
        with self._lock:
            if self._lent == slot:
                self._lent = None
            if slot in self._slots:
                self._slots.remove(slot)
                self._free(slot)

    def slots(self) -> tuple[Slot, ...]:
        """All that wait, in order."""
        with self._lock:
            return tuple(self._slots)

    @property
    def entries(self) -> int:
        """How many wait, or are admitted and about to."""
        return self._entries

    def __len__(self) -> int:
        with self._lock:
            return len(self._slots)

    def _evict(self, size_bytes: int) -> tuple[Slot, ...]:
        evicted = []
        for slot in [slot for slot in self._slots if slot != self._lent]:
            if not self._full(size_bytes):
                break
            self._slots.remove(slot)
            self._free(slot)
            evicted.append(slot)
        return tuple(evicted)

    def _full(self, size_bytes: int) -> bool:
        too_many = self._max_entries is not None and self._entries >= self._max_entries
        return too_many or (
            self._max_bytes is not None and self._bytes + size_bytes > self._max_bytes
        )

    def _free(self, slot: Slot) -> None:
        self._bytes -= slot.size_bytes
        self._entries -= 1
