"""When a run is held against its good ones again: enough is new of it, or of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bifurk_service.stats.baseline import HOLD
from bifurk_service.store.baselines import JudgedRun

QUIET_SECONDS: Final = 30.0
"""Where nothing has been judged of a run for as long, more is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How far a run and the good ones were when it was held last.

    Attributes:
        run: itself. good: those that there were to hold it against, by id.
        measured: how many of the run's snapshots were there up to its last step.
    """

    run: JudgedRun
    good: Mapping[int, JudgedRun]
    measured: int


def is_due(
    last: Looked,
    run: JudgedRun,
    good: Sequence[JudgedRun],
    *,
    late: Callable[[], int],
    now: float,
) -> bool:
    """Whether a run is held again.

    Args:
        run, good: as they are now.
        late: how many of the run's snapshots have come since that belong before where it was held.
        now: seconds since 1970 UTC.
    """
    if last.run.attempt_id != run.attempt_id or last.good.keys() != {one.run_id for one in good}:
        return True
    least, new = _least_new(run, now), run.cursor - last.run.cursor
    if new >= least or new + late() >= least:
        return True
    return any(_has_gone_on(last.good[one.run_id], one, last.run.until, now) for one in good)


def _least_new(run: JudgedRun, now: float) -> int:
    """How many of a run's snapshots must be new: five, while more are likely to come."""
    goes_on = run.is_running and now - run.judged_at < QUIET_SECONDS
    return HOLD if goes_on else 1


def _has_gone_on(then: JudgedRun, good: JudgedRun, until: int, now: float) -> bool:
    """Whether more is known of a good run's band up to a step, which it had not reached."""
    if then.attempt_id != good.attempt_id:
        return True
    new = good.cursor - then.cursor
    return then.until < until and new >= _least_new(good, now)
