"""Where a run's course is thinned, for answers to say so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from bifurk_service.store.thinning import thinned_steps
from bifurk_service.store.timeline import timeline


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
        last = last_step
        if stretch.end is not None:
            last = stretch.end - 1 if last is None else min(last, stretch.end - 1)
        steps = thinned_steps(session, stretch.attempt_id, first_step=first_step, last_step=last)
        if steps is not None:
            found.append([steps.first, steps.last])
    return found
