"""Where a run's course is thinned, for answers to say so."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import literal_column, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import Snapshot
from bifurk_service.store.thinning import WHOLE
from bifurk_service.store.timeline import timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinnedSteps:
    """The first and the last step that is thinned."""

    first: int
    last: int


def thinned_ranges(
    session: Session,
    run_id: int,
    attempt: str | None = None,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> list[list[int]]:
    """First and last thinned steps of each attempt on the run's course, or of one attempt."""
    found = []
    for stretch in timeline(session, run_id, attempt):
        last = stretch.last_step(last_step)
        steps = thinned_steps(session, stretch.attempt_id, first_step=first_step, last_step=last)
        if steps is not None:
            found.append([steps.first, steps.last])
    return found


def thinned_steps(
    session: Session,
    attempt_id: int,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> ThinnedSteps | None:
    """An attempt's thinned steps between two, both included; None without any."""
    # As the index of what is thinned has it: a bound value would not be known to be the same.
    query = select(Snapshot.step).where(
        Snapshot.attempt_id == attempt_id, Snapshot.thinned != literal_column(str(WHOLE))
    )
    if first_step is not None:
        query = query.where(Snapshot.step >= first_step)
    if last_step is not None:
        query = query.where(Snapshot.step <= last_step)
    first = session.scalar(query.order_by(Snapshot.step).limit(1))
    last = session.scalar(query.order_by(Snapshot.step.desc()).limit(1))
    return None if first is None or last is None else ThinnedSteps(first=first, last=last)
