"""What a checkpoint remembers of the run that wrote it, so that a resume goes on with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from bifurk.wire import SLUG_PATTERN
from bifurk.wire.limits import MAX_INTEGER

_SLUG: Final = re.compile(SLUG_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Which run, and how far it was.

    Attributes:
        step: optimizer steps done, by the run's own clock.
        tokens: seen so far; 0 where nobody counts them.
    """

    project: str
    run: str
    step: int
    tokens: int = 0

    def as_json(self) -> dict[str, str | int]:
        """Plain values, for any kind of checkpoint."""
        return {"project": self.project, "run": self.run, "step": self.step, "tokens": self.tokens}


def remembered(document: object) -> Memory | None:
    """Reads a memory back; None where it is none of ours, whatever else it is.

    >>> remembered({"project": "default", "run": "first", "step": 40})
    Memory(project='default', run='first', step=40, tokens=0)
    """
    if not isinstance(document, Mapping):
        return None
    names = [document.get(name) for name in ("project", "run")]
    counts = [document.get("step"), document.get("tokens", 0)]
    if not (all(map(_is_slug, names)) and all(map(_is_count, counts))):
        return None
    project, run = map(str, names)
    step, tokens = cast("list[int]", counts)
    return Memory(project=project, run=run, step=step, tokens=tokens)


def _is_slug(value: object) -> bool:
    return isinstance(value, str) and _SLUG.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER
