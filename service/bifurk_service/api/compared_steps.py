"""Which steps of two runs, or of one, are compared."""

from __future__ import annotations

from collections.abc import Sequence

from bifurk_service.errors import InvalidError, NotFoundError
from bifurk_service.store.common_steps import CommonSteps, common_steps, reaches
from bifurk_service.store.engine import Session
from bifurk_service.store.run_lists import RunSummary
from bifurk_service.store.timeline import Stretch, timeline
from bifurk_service.store.whole_steps import count_whole, whole_ends


def compared_steps(
    session: Session,
    runs: tuple[RunSummary, RunSummary],
    attempts: tuple[str | None, str | None],
    asked: tuple[int | None, int | None],
) -> tuple[int | None, int | None]:
    """Which step of each; the newest that both runs have where none is asked for.

    Raises:
        InvalidError: a run is to be compared with itself. NotFoundError: no step is common, or
            none of the newest, and there are too many to look at all.
    """
    this, other = runs
    step, with_step = asked
    if this.id == other.id and attempts[0] == attempts[1]:
        if with_step is None:
            raise InvalidError(
                "name another run (`with`), or another step (`with_step`) or attempt "
                "(`with_attempt`) of this one",
                where="with",
            )
        return step, with_step
    if step is None and with_step is None:
        courses = [
            timeline(session, run.id, attempt) for run, attempt in zip(runs, attempts, strict=True)
        ]
        newest = common_steps(
            session, *(reaches(session, one) for one in courses), limit=1, newest=True
        )
        if not newest.steps:
            mine, theirs = (
                _told(session, run.id, course) for run, course in zip(runs, courses, strict=True)
            )
            raise NotFoundError(
                f"runs {this.id} and {other.id} have no step in common{_from(newest)}: {mine}, "
                f"{theirs}; name `step` and `with_step`"
            )
        return newest.steps[0], newest.steps[0]
    return (
        with_step if step is None else step,
        step if with_step is None else with_step,
    )


def _from(newest: CommonSteps) -> str:
    if newest.until is None:
        return ""
    return f" from step {newest.until} on, and earlier ones were not looked at"


def _told(session: Session, run_id: int, course: Sequence[Stretch]) -> str:
    ends = whole_ends(session, course)
    if ends is None:
        return f"run {run_id} has no measured snapshot yet"
    return f"run {run_id} has {count_whole(session, course)} from {ends.first} to {ends.last}"
