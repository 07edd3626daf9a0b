"""Marks the user sets between two snapshots; bounded, thread-safe."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from bifurk.wire import Detail, Mark

MAX_MARKS: Final = 1_000
"""Between two snapshots; of more the newest are kept."""
MAX_KIND_CHARACTERS: Final = 64
MAX_TEXT_CHARACTERS: Final = 512
MAX_DETAILS: Final = 1_000
"""Of one mark: what a reader of the wire accepts."""

_log = logging.getLogger("bifurk")


class MarkLog:
    """Collects marks until ``take``; those whose snapshot was lost come back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._marks: list[Mark] = []
        self._overflowed = False

    def add(self, kind: str, *, step: int, details: Mapping[str, object]) -> None:
        """Notes one mark.

        Raises:
            ValueError: the kind is no short printable text.
        """
        if not kind or len(kind) > MAX_KIND_CHARACTERS or not kind.isprintable():
            raise ValueError(
                f"a mark's kind is 1 to {MAX_KIND_CHARACTERS} printable characters, got {kind!r}"
            )
        named = ((n, value) for n, value in details.items() if n.isprintable())
        kept = {n: _detail(value) for n, value in islice(named, MAX_DETAILS)}
        with self._lock:
            self._marks.append(Mark(kind=kind, step=step, details=kept))
        self._bound()

    def restore(self, marks: Sequence[Mark]) -> None:
        """Puts taken marks back, before all that came since: their snapshot will never arrive."""
        with self._lock:
            self._marks[:0] = marks
        self._bound()

    def take(self) -> tuple[Mark, ...]:
        """All since the last call, in order."""
        with self._lock:
            taken, self._marks = tuple(self._marks), []
        return taken

    def peek(self) -> tuple[Mark, ...]:
        """The same, and they stay."""
        with self._lock:
            return tuple(self._marks)

    def _bound(self) -> None:
        with self._lock:
            overflowing = len(self._marks) > MAX_MARKS
            del self._marks[:-MAX_MARKS]
        if overflowing and not self._overflowed:
            self._overflowed = True
            _log.warning("more than %d marks since the last snapshot: the oldest go", MAX_MARKS)


def error_mark(error: BaseException) -> tuple[str, dict[str, object]]:
    """Kind and details of the mark for what ended a run: its type, and what it says."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", {}
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the user's own exception may do anything
        message = ""
    return "exception", {"type": type(error).__qualname__, "message": message}


def _detail(value: object) -> Detail:
    """Text and numbers as they are, the rest as text; never the values of a tensor."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARACTERS]
    if hasattr(value, "detach"):
        # Writing it out would wait for the device.
        return f"<{type(value).__name__}>"
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", None) == 1:
        return _detail(item())
    return repr(value)[:MAX_TEXT_CHARACTERS]
