"""When a run is held against its good ones again: enough is new of it, or of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bifurk_service.stats.baseline import HOLD
from bifurk_service.store.baselines import JudgedRun

QUIET_SECONDS: Final = 30.0
"""Where nothing has been judged of a run for as long, more is not waited for."""
AGAIN_SECONDS: Final = 600.0
"""A run that could not be held is held again after so long, whatever is new of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How far a run and the good ones were when it was held last.

    Attributes:
        run: itself. good: those that there were to hold it against, by id.
        firm: of those that were read, the step up to which more of them changes nothing.
        failed_at: when it could not be held, in seconds since 1970 UTC; None: it was.
    """

    run: JudgedRun
    good: Mapping[int, JudgedRun]
    firm: Mapping[int, int]
    failed_at: float | None = None


def is_due(last: Looked, run: JudgedRun, good: Sequence[JudgedRun], *, now: float) -> bool:
    """Whether a run is held again.

    Args:
        run, good: as they are now.
        now: seconds since 1970 UTC.
    """
    if last.run.attempt_id != run.attempt_id or last.good.keys() != {one.run_id for one in good}:
        return True
    if last.failed_at is not None and not _is_within(AGAIN_SECONDS, last.failed_at, now):
        return True
    if _new(last.run, run) >= _least_new(run, now):
        return True
    return any(_has_gone_on(last, one, now) for one in good)


def _new(then: JudgedRun, run: JudgedRun) -> int:
    return run.cursor - then.cursor + run.behind - then.behind


def _least_new(run: JudgedRun, now: float) -> int:
    """How many of a run's snapshots must be new: five, while more are likely to come."""
    goes_on = run.is_running and _is_within(QUIET_SECONDS, run.judged_at, now)
    return HOLD if goes_on else 1


def _is_within(seconds: float, since: float, now: float) -> bool:
    """Whether so much has not passed yet; where the clock was set back, it counts as passed."""
    return 0.0 <= now - since < seconds


def _has_gone_on(last: Looked, good: JudgedRun, now: float) -> bool:
    """Whether more is known of a good run's band up to where the run was held."""
    then = last.good[good.run_id]
    if then.attempt_id != good.attempt_id:
        return True
    was_behind = last.firm.get(good.run_id, then.until) < last.run.until
    new = _new(then, good) if was_behind else good.behind - then.behind
    return new >= _least_new(good, now)
