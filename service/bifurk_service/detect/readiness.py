"""How ready the verdicts about a run are, so that silence is not taken for health."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FIRST_VERDICT_SNAPSHOTS: Final = 12
"""From here on shifts are judged, against short windows and wide thresholds."""
CALIBRATED_SNAPSHOTS: Final = 60
"""From here on the stated false-alarm rates hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How far judging has come.

    Attributes:
        judged: snapshots judged so far. needed: those the full calibration takes.
        first_verdict_step: step near which the first verdict is, or was, to be expected; None
            before the interval is known.
        has_verdict: whether shifts are judged already. ready: whether the calibration holds.
        text: the same in words.
    """

    judged: int
    needed: int
    first_verdict_step: int | None
    has_verdict: bool
    ready: bool
    text: str


def readiness(*, judged: int, last_step: int | None, interval_steps: float | None) -> Readiness:
    """What to tell of a run, or of an attempt after its last resume.

    Args:
        judged: snapshots judged so far, at least 0.
        last_step: step of the last of them; None when there is none.
        interval_steps: steps between snapshots; None when not known yet.

    Raises:
        ValueError: a negative number of snapshots.
    """
    if judged < 0:
        raise ValueError(f"at least 0 snapshots are judged, got {judged}")
    first = _first_verdict_step(judged, last_step, interval_steps)
    return Readiness(
        judged=judged,
        needed=CALIBRATED_SNAPSHOTS,
        first_verdict_step=first,
        has_verdict=judged >= FIRST_VERDICT_SNAPSHOTS,
        ready=judged >= CALIBRATED_SNAPSHOTS,
        text=_text(judged, first),
    )


def _first_verdict_step(
    judged: int, last_step: int | None, interval_steps: float | None
) -> int | None:
    if last_step is None or interval_steps is None:
        return None
    ahead = FIRST_VERDICT_SNAPSHOTS - judged
    return max(0, last_step + math.ceil(ahead * interval_steps))


def _text(judged: int, first: int | None) -> str:
    if judged >= CALIBRATED_SNAPSHOTS:
        return f"{judged:,} snapshots; verdicts fully calibrated"
    counted = f"{judged} of {CALIBRATED_SNAPSHOTS} snapshots"
    if judged >= FIRST_VERDICT_SNAPSHOTS:
        return f"{counted}; verdicts with wider thresholds"
    if first is None:
        return f"{counted}; first verdict after {FIRST_VERDICT_SNAPSHOTS}"
    return f"{counted}; first verdict near step {first:,}"
