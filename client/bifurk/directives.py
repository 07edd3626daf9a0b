"""What the server asks for in its answers: full values of some tensors, snapshots in between.

An alert makes the server curious about its tensors for a while. A wish is followed where it
costs nothing that the user's own settings forbid: never beyond ``full_bytes`` or the overhead
budget, and never with several ranks, whose snapshots must fall on the same steps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_DIRECTIVES: Final = 16
MOST_TENSORS: Final = 256
"""What a server may ask for at once; the rest is not read."""

_log = logging.getLogger("bifurk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One wish: for the steps from ``first_step`` up to, not including, ``last_step``.

    Attributes:
        tensors: names whose full values are wanted. every: steps between snapshots, at least 1.
    """

    tensors: tuple[str, ...]
    every: int
    first_step: int
    last_step: int

    def covers(self, step: int) -> bool:
        """Whether it speaks of this step."""
        return self.first_step <= step < self.last_step


class Directives:
    """The wishes in force; read on the sender's thread, asked on the training thread."""

    def __init__(self) -> None:
        self._in_force: tuple[Directive, ...] = ()

    def read(self, answer: Mapping[str, Any]) -> None:
        """Takes over what an answer asks for, in place of all before.

        One without a word on it, or one that cannot be understood, changes nothing.
        """
        try:
            if "directives" in answer:
                wishes = answer["directives"][:MOST_DIRECTIVES]
                # One assignment: the training thread sees the old wishes or the new.
                self._in_force = tuple(_directive(wish) for wish in wishes)
        except (ValueError, TypeError, KeyError) as error:
            _log.debug("an answer's directives cannot be read: %r", error)

    def asks_for_snapshot(self, step: int) -> bool:
        """Whether a snapshot off the grid is wanted at this step."""
        return any(wish.covers(step) and step % wish.every == 0 for wish in self._in_force)

    def wanted_in_full(self, step: int) -> frozenset[str]:
        """Names of the tensors whose full values are wanted at this step."""
        return frozenset(
            name for wish in self._in_force if wish.covers(step) for name in wish.tensors
        )


def _directive(wish: dict[str, Any]) -> Directive:
    every, first_step, last_step = (
        _whole(wish[name]) for name in ("every", "first_step", "last_step")
    )
    if every < 1:
        raise ValueError(f"every is at least 1, got {every}")
    names = [name for name in wish["tensors"][:MOST_TENSORS] if isinstance(name, str)]
    return Directive(tensors=tuple(names), every=every, first_step=first_step, last_step=last_step)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a whole number is due, got {value!r}")
    return value
