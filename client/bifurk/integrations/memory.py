"""What a checkpoint remembers of the run that wrote it, so that a resume goes on with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
        trainer_step: what the trainer's own counter said then; None where it has none.
    """

    project: str
    run: str
    step: int
    tokens: int = 0
    trainer_step: int | None = None

    def as_json(self) -> dict[str, str | int]:
        """Plain values, for any kind of checkpoint."""
        counted = {} if self.trainer_step is None else {"trainer_step": self.trainer_step}
        names = {"project": self.project, "run": self.run}
        return {**names, "step": self.step, "tokens": self.tokens, **counted}

    def at(self, trainer_step: int) -> Memory | None:
        """As it would be at this count of the trainer's, which may have trained on unwatched.

        None where the trainer is behind what is remembered: it is another training's memory.
        """
        if self.trainer_step is None:
            return self
        unwatched = trainer_step - self.trainer_step
        if unwatched < 0:
            return None
        return replace(self, step=self.step + unwatched, trainer_step=trainer_step)


def remembered(document: object) -> Memory | None:
    """Reads a memory back; None where it is none of ours, whatever else it is.

    >>> remembered({"project": "default", "run": "first", "step": 40})
    Memory(project='default', run='first', step=40, tokens=0, trainer_step=None)
    """
    if not isinstance(document, Mapping):
        return None
    names = [document.get(name) for name in ("project", "run")]
    counts = [document.get("step"), document.get("tokens", 0)]
    trainer_step = document.get("trainer_step")
    told = counts if trainer_step is None else [*counts, trainer_step]
    if not (all(map(_is_slug, names)) and all(map(_is_count, told))):
        return None
    project, run = map(str, names)
    step, tokens = cast("list[int]", counts)
    return Memory(project=project, run=run, step=step, tokens=tokens, trainer_step=trainer_step)


def _is_slug(value: object) -> bool:
    return isinstance(value, str) and _SLUG.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER
