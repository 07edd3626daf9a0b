"""A run's learning rates as marks: jumps, the end of a warm-up, the start of a decay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.domain import Mark

LEARNING_RATE: Final = "learning_rate"
WARMUP_END: Final = "warmup_end"
DECAY_START: Final = "decay_start"

LEAST_RATIO: Final = 1.1
"""A learning rate that changed by less between two snapshots moves on smoothly: no change."""
ROUNDING: Final = 1e-9
"""Two logarithms of one ratio may differ by so much of it: more than any two libraries do."""
RAISE: Final = 1.5
"""From this ratio on a raised learning rate is named as the probable cause."""
LEAST_STRETCH: Final = 3
"""Snapshots of rising that make a warm-up, and of not falling that make a fall a new decay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The learning rates in force at a snapshot, one a parameter group."""

    step: int
    rates: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class RateCourse:
    """Follows the largest learning rate of all groups and tells where its course turns.

    Attributes:
        step, rate: of the snapshot before; None before there is one.
        start: the rate from which it has been rising.
        rising: snapshots running at which it rose. steady: at which it did not fall.
    """

    step: int = 0
    rate: float | None = None
    start: float = 0.0
    rising: int = 0
    steady: int = 0

    def take(self, now: Rates) -> Mark | None:
        """The turn at this snapshot, if there is one; a schedule has one or two in all."""
        rate = max((rate for rate in now.rates if math.isfinite(rate)), default=None)
        if rate is None:
            return None
        old, since, turned = self.rate, self.step, None
        if old is not None:
            turned = self._turn(old, rate, now.step, since)
            if rate > old and not self.rising:
                self.start = old
            self.rising = self.rising + 1 if rate > old else 0
            self.steady = self.steady + 1 if rate >= old else 0
        self.step, self.rate = now.step, rate
        return turned

    def _turn(self, old: float, new: float, step: int, since: int) -> Mark | None:
        if new <= old and self.rising >= LEAST_STRETCH:
            return rate_mark(WARMUP_END, self.start, old, step=step, since_step=since)
        if new < old and self.steady >= LEAST_STRETCH:
            return rate_mark(DECAY_START, old, new, step=step, since_step=since)
        return None

    def as_json(self) -> dict[str, Any]:
        """Every field, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RateCourse:
        """Reads back what ``as_json`` gave."""
        return cls(**document)


def is_raise(mark: Mark) -> bool:
    """Whether this is a learning rate raised enough to be the probable cause."""
    if mark.kind != LEARNING_RATE:
        return False
    ratio = mark.details["ratio"]
    return ratio is None or ratio >= RAISE


def change_between(before: Rates, after: Rates) -> Mark | None:
    """The jump between two neighbouring snapshots, of the group that changed most; or None."""
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
    return rate_mark(LEARNING_RATE, old, new, step=after.step, since_step=before.step)


def may_jump(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a jump can lie between rates no less and no greater than these; not between NaN."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        far = np.log(high / low) >= (1 - ROUNDING) * math.log(LEAST_RATIO)
    return (high > low) & ((low <= 0) | far)


def joined(changes: Sequence[Mark]) -> list[Mark]:
    """Jumps with those in the same direction at the next snapshot made one, in order."""
    found: list[Mark] = []
    for mark in changes:
        last = found[-1] if found else None
        if last is not None and _continues(last, mark):
            found[-1] = rate_mark(
                LEARNING_RATE,
                last.details["from"],
                mark.details["to"],
                step=mark.step,
                since_step=last.details["since_step"],
            )
        else:
            found.append(mark)
    return found


def rate_mark(kind: str, old: float, new: float, *, step: int, since_step: int) -> Mark:
    """A mark that tells a change of the learning rate; its ratio is None where it was zero."""
    ratio = new / old if old > 0 else None
    details = {"from": old, "to": new, "ratio": ratio, "since_step": since_step}
    return Mark(kind=kind, step=step, details=details)


def _continues(last: Mark, mark: Mark) -> bool:
    one, other = last.details, mark.details
    same_group = one["to"] == other["from"] and last.step == other["since_step"]
    return bool(same_group and (one["to"] > one["from"]) == (other["to"] > other["from"]))


def _size(pair: tuple[float, float]) -> float:
    low, high = sorted(pair)
    return math.log(high / low) if low > 0 else math.inf
