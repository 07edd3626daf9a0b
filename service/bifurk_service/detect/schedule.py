"""What the run did of its own accord: learning rates and marks, held against an onset."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from bifurk_service.detect.rates import (
    DECAY_START,
    LEARNING_RATE,
    WARMUP_END,
    RateCourse,
    Rates,
    change_between,
    is_raise,
    joined,
)
from bifurk_service.detect.responses import Responses
from bifurk_service.domain import Clock, Mark

__all__ = ["CHECKPOINT", "LEARNING_RATE", "RESUME", "Schedule", "is_raise"]

CHECKPOINT: Final = "checkpoint"
RESUME: Final = "resume"
ANNOUNCED_KINDS: Final = frozenset({"evaluation", "batch_size", "amp_scale"})
"""Marks of scheduled changes, whose response may be known from earlier ones."""
EXPLAINING_KINDS: Final = ANNOUNCED_KINDS | {"schedule", "interval", RESUME}
"""Marks that may stand behind a change. A checkpoint writes weights and does not touch them."""

REMEMBERED_SNAPSHOTS: Final = 128
"""More than the longest stretch between an onset and its detection (24) and a merge (24)."""
REMEMBERED_MARKS: Final = 64
EXPECTED_EXCESS: Final = 1.5
"""A fall of the learning rate accounts for changes up to this many times its own logarithm."""
UPDATES: Final = "update_ratio"
"""The statistic that follows the learning rate all the way to nothing."""


class Schedule:
    """Remembers the latest learning rates, marks and checkpoints of a run, and what they did."""

    def __init__(self) -> None:
        self._rates: deque[Rates] = deque(maxlen=REMEMBERED_SNAPSHOTS)
        self._marks: deque[Mark] = deque(maxlen=REMEMBERED_MARKS)
        self._checkpoints: deque[Mark] = deque(maxlen=REMEMBERED_MARKS)
        self._course = RateCourse()
        self._responses = Responses()

    def take(self, clock: Clock) -> None:
        """Notes what came with a snapshot; a resume ends what was before."""
        if any(mark.kind == RESUME for mark in clock.marks):
            self._rates.clear()
            self._marks.clear()
            self._course = RateCourse()
        now = Rates(step=clock.step, rates=clock.learning_rates)
        self._rates.append(now)
        derived = self._course.take(now)
        if derived is not None:
            self._marks.append(derived)
        for mark in clock.marks:
            if mark.kind == CHECKPOINT:
                self._checkpoints.append(mark)
            elif mark.kind in EXPLAINING_KINDS:
                self._marks.append(_with_evidence(mark, clock.previous_step))

    def explain(self, *, onset_first_step: int, onset_last_step: int) -> tuple[Mark, ...]:
        """The run's own changes inside an onset interval, or one snapshot before it.

        A change of the learning rate comes as a mark of kind ``learning_rate`` with ``from``,
        ``to``, ``ratio`` (None where it rose from zero) and ``since_step``, the last step at which
        it was not yet seen; changes in one direction at neighbouring snapshots come as one. The
        end of a warm-up comes as ``warmup_end``, the start of a decay that is no jump as
        ``decay_start``.
        """
        steps = [rates.step for rates in self._rates if rates.step < onset_first_step]
        since = steps[-1] if steps else onset_first_step
        changes = [
            mark
            for before, after in zip(self._rates, list(self._rates)[1:], strict=False)
            if since <= before.step and after.step <= onset_last_step
            if (mark := change_between(before, after)) is not None
        ]
        jumps = {mark.step for mark in changes}
        marks = [
            mark
            for mark in self._marks
            if since <= mark.step <= onset_last_step
            if not (mark.kind == DECAY_START and mark.step in jumps)
        ]
        return tuple(sorted([*joined(changes), *marks], key=lambda mark: mark.step))

    def checkpoint_before(self, step: int) -> Mark | None:
        """The last checkpoint written at this step or earlier."""
        earlier = [mark for mark in self._checkpoints if mark.step <= step]
        return earlier[-1] if earlier else None

    def accounts_for(self, explained_by: Sequence[Mark], responses: Mapping[str, float]) -> bool:
        """Whether the run's own, non-increasing changes account for changes of this size.

        They do where nothing rose with them and, for every statistic, one of them was seen to
        change it as much before; or where the learning rate fell and no statistic changed by more
        than the rate itself did, give or take a half. A rate of nothing accounts for updates alone.

        Args:
            explained_by: marks of ``explain``.
            responses: by statistic the largest size of its change; see ``Finding.response``.
        """
        if any(_is_rise(mark) for mark in explained_by):
            return False
        scheduled = [mark for mark in explained_by if _is_scheduled(mark)]
        return bool(scheduled) and all(
            size
            <= max(
                EXPECTED_EXCESS * sum(_own_fall(mark, name) for mark in scheduled),
                *(self._responses.before(mark, name) for mark in scheduled),
            )
            for name, size in responses.items()
        )

    def remember(self, explained_by: Sequence[Mark], responses: Mapping[str, float]) -> None:
        """Notes what scheduled changes were seen to do; again for an event that has grown."""
        for mark in explained_by:
            if _is_scheduled(mark):
                for name, size in responses.items():
                    self._responses.remember(mark, name, size)

    def as_json(self) -> dict[str, Any]:
        """The whole memory."""
        return {
            "rates": [asdict(rates) for rates in self._rates],
            "marks": [_as_json(mark) for mark in self._marks],
            "checkpoints": [_as_json(mark) for mark in self._checkpoints],
            "course": self._course.as_json(),
            "responses": self._responses.as_json(),
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
        self._course = RateCourse.from_json(document["course"])
        self._responses.restore(document["responses"])


def _is_rise(mark: Mark) -> bool:
    if mark.kind != LEARNING_RATE:
        return False
    ratio = mark.details["ratio"]
    return ratio is None or ratio > 1


def _is_scheduled(mark: Mark) -> bool:
    fell = mark.kind == LEARNING_RATE and not _is_rise(mark)
    return fell or mark.kind in ANNOUNCED_KINDS | {WARMUP_END, DECAY_START}


def _own_fall(mark: Mark, statistic: str) -> float:
    """Logarithm by which the learning rate fell, as far as this statistic follows it.

    Where it fell to 0 there are no updates; weights that change then do so for another reason.
    """
    if mark.kind not in (LEARNING_RATE, DECAY_START):
        return 0.0
    ratio = mark.details["ratio"]
    if ratio > 0:
        return -math.log(ratio)
    return math.inf if statistic == UPDATES else 0.0


def _with_evidence(mark: Mark, previous_step: int | None) -> Mark:
    """The mark with its ``ratio`` where it tells numbers ``from`` and ``to``."""
    details = {**mark.details, "since_step": previous_step}
    old, new = mark.details.get("from"), mark.details.get("to")
    if isinstance(old, int | float) and isinstance(new, int | float) and old > 0:
        details["ratio"] = new / old
    return replace(mark, details=details)


def _as_json(mark: Mark) -> dict[str, Any]:
    return {"kind": mark.kind, "step": mark.step, "details": dict(mark.details)}
