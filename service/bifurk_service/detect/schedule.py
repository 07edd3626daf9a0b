"""What the run did of its own accord: learning rates and marks, held against an onset."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bifurk_service.domain import Clock, Mark

LEARNING_RATE: Final = "learning_rate"
CHECKPOINT: Final = "checkpoint"
RESUME: Final = "resume"
EXPLAINING_KINDS: Final = frozenset({"schedule", "evaluation", "batch_size", "interval"})
"""Marks that may stand behind a change. A checkpoint writes weights and does not touch them."""

LEAST_RATIO: Final = 1.1
"""A learning rate that changed by less between two snapshots moves on smoothly: no change."""
RAISE: Final = 1.5
"""From this ratio on a raised learning rate is named as the probable cause."""
REMEMBERED_SNAPSHOTS: Final = 128
"""More than the longest stretch between an onset and its detection (24) and a merge (24)."""
REMEMBERED_MARKS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The learning rates in force at a snapshot, one a parameter group."""

    step: int
    rates: tuple[float, ...]


class Schedule:
    """Remembers the latest learning rates, marks and checkpoints of a run."""

    def __init__(self) -> None:
        self._rates: deque[Rates] = deque(maxlen=REMEMBERED_SNAPSHOTS)
        self._marks: deque[Mark] = deque(maxlen=REMEMBERED_MARKS)
        self._checkpoints: deque[Mark] = deque(maxlen=REMEMBERED_MARKS)

    def take(self, clock: Clock) -> None:
        """Notes what came with a snapshot; a resume ends what was before."""
        if any(mark.kind == RESUME for mark in clock.marks):
            self._rates.clear()
            self._marks.clear()
        self._rates.append(Rates(step=clock.step, rates=clock.learning_rates))
        for mark in clock.marks:
            if mark.kind == CHECKPOINT:
                self._checkpoints.append(mark)
            elif mark.kind in EXPLAINING_KINDS:
                self._marks.append(mark)

    def explain(self, *, onset_first_step: int, onset_last_step: int) -> tuple[Mark, ...]:
        """The run's own changes inside an onset interval, or one snapshot before it.

        A change of the learning rate comes as a mark of kind ``learning_rate`` with ``from``,
        ``to``, ``ratio`` (None where it rose from zero) and ``since_step``, the last step at which
        it was not yet seen.
        """
        steps = [rates.step for rates in self._rates if rates.step < onset_first_step]
        since = steps[-1] if steps else onset_first_step
        changes = [
            mark
            for before, after in zip(self._rates, list(self._rates)[1:], strict=False)
            if since <= before.step and after.step <= onset_last_step
            if (mark := _change(before, after)) is not None
        ]
        marks = [mark for mark in self._marks if since <= mark.step <= onset_last_step]
        return tuple(sorted([*changes, *marks], key=lambda mark: mark.step))

    def checkpoint_before(self, step: int) -> Mark | None:
        """The last checkpoint written at this step or earlier."""
        earlier = [mark for mark in self._checkpoints if mark.step <= step]
        return earlier[-1] if earlier else None

    def as_json(self) -> dict[str, Any]:
        """The whole memory."""
        return {
            "rates": [asdict(rates) for rates in self._rates],
            "marks": [asdict(mark) for mark in self._marks],
            "checkpoints": [asdict(mark) for mark in self._checkpoints],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Takes up what ``as_json`` gave."""
        for memory in (self._rates, self._marks, self._checkpoints):
            memory.clear()
        self._rates.extend(
            Rates(step=entry["step"], rates=tuple(entry["rates"])) for entry in document["rates"]
        )
        self._marks.extend(Mark(**entry) for entry in document["marks"])
        self._checkpoints.extend(Mark(**entry) for entry in document["checkpoints"])


def is_raise(mark: Mark) -> bool:
    """Whether this is a learning rate raised enough to be the probable cause."""
    if mark.kind != LEARNING_RATE:
        return False
    ratio = mark.details["ratio"]
    return ratio is None or ratio >= RAISE


def lowers_severity(explained_by: Sequence[Mark], log_changes: Sequence[float]) -> bool:
    """Whether the run's own, non-increasing change accounts for changes of this size.

    Only a fall of the learning rate does, and only where nothing rose with it and no statistic
    changed by more than the rate itself did, give or take a half.

    Args:
        explained_by: marks of ``Schedule.explain``.
        log_changes: sizes of the statistics' changes as logarithms.
    """
    ratios = [mark.details["ratio"] for mark in explained_by if mark.kind == LEARNING_RATE]
    if not ratios or any(ratio is None or ratio > 1 for ratio in ratios):
        return False
    fall = -sum(math.log(ratio) for ratio in ratios if ratio > 0)
    silent = any(ratio == 0 for ratio in ratios)
    return silent or max(log_changes, default=0.0) <= 1.5 * fall


def _change(before: Rates, after: Rates) -> Mark | None:
    pairs = [
        (old, new)
        for old, new in zip(before.rates, after.rates, strict=False)
        if old != new and math.isfinite(old) and math.isfinite(new)
    ]
    if not pairs:
        return None
    old, new = max(pairs, key=_size)
    if _size((old, new)) < math.log(LEAST_RATIO):
        return None
    ratio = new / old if old > 0 else None
    details = {"from": old, "to": new, "ratio": ratio, "since_step": before.step}
    return Mark(kind=LEARNING_RATE, step=after.step, details=details)


def _size(pair: tuple[float, float]) -> float:
    low, high = sorted(pair)
    return math.log(high / low) if low > 0 else math.inf
