"""What waits between the encoder and the sender: the Outbox seam, and one in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from bifurk.losses import LossLedger
from bifurk.transport import Request
from bifurk.waiting import Slot, WaitingLine

DEFAULT_MEMORY_BYTES: Final = 64 << 20
"""A few snapshots with full values: the training process's memory is not ours to fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request on loan, and its place in the line."""

    slot: Slot
    request: Request


class Outbox(Protocol):
    """First in, first out, bounded; no method raises for what happens to the bytes."""

    def append(self, request: Request) -> bool:
        """Takes a request in; False when it was dropped, which is counted."""
        ...

    def oldest(self) -> Entry | None:
        """The next to send, on loan until released or discarded; None when none can be had."""
        ...

    def release(self, entry: Entry) -> None:
        """Ends the loan: it was not sent and keeps its place."""
        ...

    def discard(self, entry: Entry) -> None:
        """Forgets a request: the server has it, or will never take it."""
        ...

    def pending(self) -> int:
        """How many wait."""
        ...

    def close(self) -> None:
        """Lets go of what is held; more than once is fine."""
        ...


class MemoryOutbox:
    """An outbox that dies with the process: for tests, and where no folder can be written.

    Args:
        ledger: told of what is dropped: ``memory_full``, and ``unsent_at_close``.
        max_bytes: of all bodies together; the oldest are dropped first.
    """

    def __init__(self, *, ledger: LossLedger, max_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        self._line = WaitingLine(max_bytes=max_bytes)
        self._requests: dict[int, Request] = {}
        self._ledger = ledger

    def append(self, request: Request) -> bool:
        """See ``Outbox.append``."""
        admission = self._line.admit(len(request.body), sequence=request.sequence)
        for slot in admission.evicted:
            self._drop(slot, "memory_full")
        if admission.slot is None:
            self._ledger.drop("memory_full", request.sequence)
            return False
        self._requests[admission.slot.number] = request
        self._line.publish(admission.slot)
        return True

    def oldest(self) -> Entry | None:
        """See ``Outbox.oldest``."""
        slot = self._line.lend()
        return None if slot is None else Entry(slot=slot, request=self._requests[slot.number])

    def release(self, entry: Entry) -> None:
        """See ``Outbox.release``."""
        del entry
        self._line.give_back()

    def discard(self, entry: Entry) -> None:
        """See ``Outbox.discard``."""
        self._line.remove(entry.slot)
        self._requests.pop(entry.slot.number, None)

    def pending(self) -> int:
        """See ``Outbox.pending``."""
        return len(self._line)

    def close(self) -> None:
        """Counts what is still here as ``unsent_at_close``."""
        for slot in self._line.slots():
            self._line.remove(slot)
            self._drop(slot, "unsent_at_close")

    def _drop(self, slot: Slot, reason: str) -> None:
        self._requests.pop(slot.number, None)
        self._ledger.drop(reason, slot.sequence)
